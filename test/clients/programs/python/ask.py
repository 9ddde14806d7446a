"""The Python clients as their READMEs show them; the line protocol is that of session.ts."""

import asyncio
import base64
import json
import sys

MODEL = "a-model"
JSON = {"content-type": "application/json"}


def say(*fields):
    print("\t".join(fields), flush=True)


def told():
    say("event")


def told_of(lines):
    for line in lines:
        if isinstance(line, bytes):
            line = line.decode()
        if line.startswith("data:"):
            told()
        yield line


def openai_client():
    from openai import OpenAI

    client = OpenAI()

    def work(name, stream, url, prompt, body):
        if name == "embeddings":
            answer = client.embeddings.create(model=MODEL, input=prompt, encoding_format="float")
            return f"{len(answer.data[0].embedding)} numbers"
        text = ""
        if name == "responses":
            if not stream:
                return client.responses.create(model=MODEL, input=prompt).output_text
            for event in client.responses.create(model=MODEL, input=prompt, stream=True):
                told()
                if event.type == "response.output_text.delta":
                    text += event.delta
            return text
        messages = [{"role": "user", "content": prompt}]
        if not stream:
            answer = client.chat.completions.create(model=MODEL, messages=messages)
            return answer.choices[0].message.content
        for chunk in client.chat.completions.create(model=MODEL, messages=messages, stream=True):
            told()
            text += chunk.choices[0].delta.content or ""
        return text

    return work


def anthropic_client():
    from anthropic import Anthropic

    client = Anthropic()

    def work(name, stream, url, prompt, body):
        request = {
            "model": MODEL,
            "max_tokens": 64,
            "messages": [{"role": "user", "content": prompt}],
        }
        if not stream:
            return client.messages.create(**request).content[0].text
        text = ""
        for event in client.messages.create(**request, stream=True):
            told()
            if event.type == "content_block_delta":
                text += event.delta.text
        return text

    return work


def genai_client():
    from google import genai

    client = genai.Client()

    def work(name, stream, url, prompt, body):
        if not stream:
            return client.models.generate_content(model=MODEL, contents=prompt).text
        text = ""
        for chunk in client.models.generate_content_stream(model=MODEL, contents=prompt):
            told()
            text += chunk.text or ""
        return text

    return work


def httpx_client(http2):
    import httpx

    client = httpx.Client(http2=http2)

    def work(name, stream, url, prompt, body):
        with client.stream("POST", url, content=body, headers=JSON) as answer:
            text = "\n".join(told_of(answer.iter_lines())) if stream else answer.read().decode()
            version = "h2" if answer.http_version == "HTTP/2" else "h1"
            return answer.status_code, version, text

    return work


def requests_client():
    import requests

    session = requests.Session()

    def work(name, stream, url, prompt, body):
        answer = session.post(url, data=body.encode(), headers=JSON, stream=stream)
        text = "\n".join(told_of(answer.iter_lines())) if stream else answer.text
        return answer.status_code, "h1", text

    return work


def aiohttp_client():
    import aiohttp

    loop = asyncio.new_event_loop()
    sessions = []

    async def ask(url, body):
        if not sessions:
            sessions.append(aiohttp.ClientSession(trust_env=True))
        async with sessions[0].post(url, data=body.encode(), headers=JSON) as answer:
            lines = [next(told_of([line])) async for line in answer.content]
            return answer.status, "h1", "".join(lines)

    def work(name, stream, url, prompt, body):
        return loop.run_until_complete(ask(url, body))

    return work


def websockets_client():
    from websockets.exceptions import InvalidStatus
    from websockets.sync.client import connect

    def work(name, stream, url, prompt, body):
        text = ""
        try:
            with connect(url) as socket:
                socket.send(body)
                for message in socket:
                    told()
                    frame = json.loads(message)
                    text += frame.get("delta", "")
                    if frame["type"] == "response.done":
                        return text
        except InvalidStatus as refused:
            return refused.response.status_code, "h1", refused.response.body.decode()
        raise EOFError(f"closed with {socket.close_code} {socket.close_reason}")

    return work


CLIENTS = {
    "openai": openai_client,
    "anthropic": anthropic_client,
    "google-genai": genai_client,
    "httpx": lambda: httpx_client(False),
    "httpx-h2": lambda: httpx_client(True),
    "requests": requests_client,
    "aiohttp": aiohttp_client,
    "websockets": websockets_client,
}


def encoded(text):
    return base64.b64encode(text.encode()).decode()


def failed(error):
    status = getattr(error, "status_code", None) or getattr(error, "code", None)
    messages = []
    cause = error
    while cause is not None and len(messages) < 8:
        messages.append(f"{type(cause).__name__} {cause}" if messages else str(cause))
        cause = cause.__cause__ or cause.__context__
    status = str(status) if isinstance(status, int) else ""
    say("fail", type(error).__name__, status, encoded(": ".join(messages)))


def main():
    work = None
    for line in sys.stdin:
        name, stream, url, prompt, body = line.rstrip("\n").split("\t")
        prompt, body = base64.b64decode(prompt).decode(), base64.b64decode(body).decode()
        try:
            work = work or CLIENTS[sys.argv[1]]()
            said = work(name, stream == "1", url, prompt, body)
            if isinstance(said, tuple):
                say("http", str(said[0]), said[1], encoded(said[2]))
            else:
                say("text", "", encoded(said))
        except Exception as error:  # whatever a client throws is what its user sees
            failed(error)


main()
