"""What the huggingface_hub library writes into its cache, fetching a small model from a hub that this script serves.

Writes test/fixtures/hub/cache.json: the repository's files, and the cache after snapshot_download, file for file and
link for link. Made with huggingface_hub 2.4.0; 0.36.0 writes the same. Needs no network.
"""

import hashlib
import json
import os
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

MODEL = "Org/Tiny.1"
COMMIT = hashlib.sha1(MODEL.encode()).hexdigest()
REVISIONS = ["main", "feature/x"]
LARGE = ".safetensors"
FILES = {
    "config.json": '{"model_type": "x"}\n',
    "tokenizer.json": "{}\n",
    "vocab.txt": "",
    "README.md": "# A model\n",
    "model-00001-of-00002.safetensors": "first weights " * 40,
    "model-00002-of-00002.safetensors": "second weights " * 40,
    "model.safetensors.index.json": '{"weight_map": {}}\n',
    # Not part of a checkpoint:
    "pytorch_model.bin": "weights again",
    "onnx/model.onnx": "and again",
    ".gitattributes": "*.safetensors filter=lfs\n",
}
CHECKPOINT = [name for name in FILES if name not in ("pytorch_model.bin", "onnx/model.onnx", ".gitattributes")]


def git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def etag(name: str) -> str:
    content = FILES[name].encode()
    return hashlib.sha256(content).hexdigest() if name.endswith(LARGE) else git_hash(content)


def entry(name: str) -> dict:
    size = len(FILES[name])
    large = {"lfs": {"oid": etag(name), "size": size, "pointerSize": 130}} if name.endswith(LARGE) else {}
    return {"type": "file", "path": name, "size": size, "oid": git_hash(FILES[name].encode()), **large}


class Hub(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer(False)

    def do_GET(self):
        self.answer(True)

    def answer(self, with_content: bool):
        path = unquote(urlsplit(self.path).path)
        if path.startswith("/api/"):
            listing = {"id": MODEL, "modelId": MODEL, "sha": COMMIT, "private": False, "tags": [], "siblings": []}
            content = json.dumps([entry(name) for name in FILES] if "/tree/" in path else listing).encode()
            return self.send(200, content, {"Content-Type": "application/json"}, with_content)
        name = path.split("/", 5)[-1] if "/resolve/" in path else path.removeprefix("/store/")
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{etag(name)}"'}
        if name.endswith(LARGE) and "/resolve/" in path:
            headers = {"X-Repo-Commit": COMMIT, "X-Linked-ETag": f'"{etag(name)}"', "X-Linked-Size": len(FILES[name])}
            return self.send(302, b"", {**headers, "Location": f"/store/{name}"}, with_content)
        return self.send(200, FILES[name].encode(), headers, with_content)

    def send(self, status: int, content: bytes, headers: dict, with_content: bool):
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, str(value))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if with_content:
            self.wfile.write(content)


def tree(folder: Path) -> dict:
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if name.split("/")[0] not in ("blobs", "refs", "snapshots"):
            continue  # notes of the library to itself
        if path.is_symlink():
            found[name] = {"link": os.readlink(path)}
        elif path.is_file():
            found[name] = {"text": path.read_text()}
    return found


def main():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as home:
        os.environ |= {
            "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
            "HF_HOME": home,
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }
        import huggingface_hub  # reads the environment when it is imported

        for revision in REVISIONS:
            huggingface_hub.snapshot_download(MODEL, revision=revision, allow_patterns=CHECKPOINT)
        cache = tree(Path(home) / "hub" / f"models--{MODEL.replace('/', '--')}")
    fixture = {
        "versions": {"huggingface_hub": huggingface_hub.__version__},
        "model": MODEL,
        "commit": COMMIT,
        "revisions": REVISIONS,
        "files": FILES,
        "cache": cache,
    }
    target = Path(__file__).parent.parent / "fixtures" / "hub" / "cache.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(fixture, indent=1) + "\n")


if __name__ == "__main__":
    main()
