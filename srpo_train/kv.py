"""A key-value cache with room to grow: a new token is written into place, and nothing else is copied.

`DynamicCache` joins whole tensors at every token, which was 40 % of the time of exploration on a CPU.
Imports transformers at the top, because it is itself imported on use.
"""

from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicLayer

ROOM = 64  # tokens added whenever the room is used up


class RoomyLayer(DynamicLayer):  # type: ignore[misc] # transformers is not typed here
    """One layer's keys and values (rows, heads, length, width), the filled part of larger buffers."""

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append, and return everything so far; the library's signature."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.keys, self.values = key_states[:, :, :0], value_states[:, :, :0]
            self._room = (self.keys, self.values)
        begin = self.keys.shape[2]
        end = begin + key_states.shape[2]
        if end > self._room[0].shape[2]:
            self._room = (_wider(self.keys, end + ROOM), _wider(self.values, end + ROOM))
        for room, new in zip(self._room, (key_states, value_states), strict=True):
            room[:, :, begin:end] = new
        self.keys, self.values = (room[:, :, :end] for room in self._room)
        return self.keys, self.values

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep these rows."""
        length = self.keys.shape[2]
        self._room = (self._room[0][indices], self._room[1][indices])
        self.keys, self.values = (room[:, :, :length] for room in self._room)


def roomy_cache() -> Any:
    """An empty cache; every layer keeps all keys, also where the model attends to a window of them."""
    return Cache(layer_class_to_replicate=RoomyLayer)


def _wider(old: torch.Tensor, length: int) -> torch.Tensor:
    rows, heads, filled, width = old.shape
    new = old.new_zeros((rows, heads, length, width))
    new[:, :, :filled] = old
    return new
