"""The least code that makes the same calls: two an item, images read and sent, replies written.

`throughput.py` starts it: python benchmarks/floor.py sdk|raw URL TASK_FOLDER OUT CONNECTIONS
"""

import asyncio
import base64
import json
import sys
from pathlib import Path


def messages(text: str, image: Path) -> list[dict[str, object]]:
    """One user turn with an image, as the chat endpoint takes it."""
    url = "data:image/png;base64," + base64.b64encode(image.read_bytes()).decode()
    parts = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": text}]
    return [{"role": "user", "content": parts}]


async def main(kind: str, url: str, task: Path, out: Path, connections: int) -> None:
    """Ask model and judge for every item, `connections` calls at a time."""
    items = [json.loads(line) for line in (task / "items.jsonl").read_text().splitlines()]
    if kind == "sdk":
        import openai

        http = openai.DefaultAioHttpClient(timeout=60)
        client = openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0, http_client=http)

        async def ask(model: str, text: str, image: Path) -> str:
            # type: ignore
            done = await client.chat.completions.create(model=model, messages=messages(text, image))
            return done.choices[0].message.content or ""
    else:
        import aiohttp

        session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=connections))

        async def ask(model: str, text: str, image: Path) -> str:
            body = {"model": model, "messages": messages(text, image)}
            async with session.post(f"{url}/chat/completions", json=body) as response:
                return str((await response.json())["choices"][0]["message"]["content"])

    todo = iter(items)
    with out.open("w") as records:

        async def worker() -> None:
            for item in todo:
                image = task / item["images"][0]["path"]
                reply = await ask("model", item["query"], image)
                rubric = f"Give evidence and safety for each step.\n{item['query']}\n{reply}"
                verdict = await ask("judge", rubric, image)
                records.write(json.dumps([item["id"], reply, verdict]) + "\n")
                records.flush()

        await asyncio.gather(*(worker() for _ in range(connections)))
    await (client.close() if kind == "sdk" else session.close())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]), int(sys.argv[5])))
