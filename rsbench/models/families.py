"""Which models descend from one another, so that a judge is not of the family it judges.

A prefix table over the model's own name (the part after any organisation); a model card's `family` overrides
it.
"""

_PREFIXES = {
    "gpt": ("gpt", "chatgpt", "o1", "o3", "o4", "codex"),
    "claude": ("claude",),
    "gemini": ("gemini", "gemma", "paligemma", "shieldgemma", "medgemma"),
    # Guards go by what they were made from, not by their names.
    "qwen": ("qwen", "qwq", "qvq", "guardreasoner-vl", "llavaguard-v1.2"),
    "llama": ("llama", "meta-llama", "vicuna", "llava", "guardreasoner"),
    "mistral": ("mistral", "mixtral", "pixtral", "ministral", "magistral"),
    "deepseek": ("deepseek", "janus"),
    "internvl": ("internvl", "internlm", "interns1"),
    "phi": ("phi",),
    "glm": ("glm", "chatglm", "cogvlm"),
    "kimi": ("kimi", "moonlight"),
    "grok": ("grok",),
    "command": ("command", "aya"),
    "nova": ("nova",),
    "smolvlm": ("smolvlm", "smollm", "idefics"),
    "tiny": ("tiny",),
}


def family_of(model_id: str) -> str | None:
    """Family of a model name; None if the table doesn't know it."""
    name = model_id.lower().rsplit("/", 1)[-1]
    for family, prefixes in _PREFIXES.items():
        if name.startswith(prefixes):
            return family
    return None
