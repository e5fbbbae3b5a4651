"""Other gateways with a cache, as contestants of benchmarks/gateway.py, each as its makers' documentation has it.

Once warm, each goes on without its upstream: what it answers then is a hit. One that cannot is left out.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from benchmarks import calls, servers
from benchmarks.processes import ROOT
from benchmarks.serving import Server, bare, free_port, launched

_ENVS = ROOT / ".envs"
_MASTER = "sk-0123456789abcdef0123456789abcdef"
_NGINX = """
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/log crit;
events {{ worker_connections 1024; }}
http {{ access_log off; keepalive_requests 1000000000;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder}; uwsgi_temp_path {folder};
  scgi_temp_path {folder}; proxy_cache_path {folder}/cache keys_zone=kept:10m;
  client_body_buffer_size 1m; client_max_body_size 1m; client_body_in_single_buffer on;
  server {{ listen 127.0.0.1:{port};
    location / {{ proxy_pass http://127.0.0.1:{upstream}; proxy_cache kept; proxy_cache_methods POST;
      proxy_cache_key "$request_uri|$http_authorization|$request_body"; proxy_cache_valid 200 1h; }} }} }}
"""
_LITELLM = """
model_list:
  - model_name: {model}
    litellm_params: {{model: openai/{model}, api_base: "http://127.0.0.1:{upstream}/v1", api_key: sk-x}}
litellm_settings:
  cache: true
  drop_params: true
  cache_params: {{{cache}}}
"""
_TENSORZERO = """
[gateway]
observability.enabled = false
[models.chat]
routing = ["local"]
[models.chat.providers.local]
type = "openai"
model_name = "{model}"
api_base = "http://127.0.0.1:{upstream}/v1"
api_key_location = "none"
"""
# The wheel starts its gateway at a port of its own choice, and says which.
_START_TENSORZERO = """
import signal, sys
from tensorzero import tensorzero
gateway = tensorzero._start_http_gateway(
    config_file=sys.argv[1], clickhouse_url=None, postgres_url=None, valkey_url=sys.argv[2], async_setup=False
)
print(gateway.base_url, flush=True)
signal.pause()
"""
# Portkey's npm build leaves its memory cache out; a plain map in its place costs no more than that did.
_PORTKEY_MARK = '"node"===o()&&Lu.use((async(e,t)=>{e.set("addLogClient",gu)'
_PORTKEY_CACHE = """globalThis.__kept=new Map,Lu.use("*",(async(e,t)=>{e.set("getFromCache",(async(a,r,n,s)=>{
const i=JSON.stringify(n)+s,c=globalThis.__kept.get(i);return c?[c,"HIT",i]:[null,"MISS",i]})),await t();
const a=e.get("requestOptions")?.[0];a&&"simple"===a.cacheMode&&!a.requestParams.stream&&globalThis.__kept.set(
JSON.stringify(a.transformedRequest?.body??a.requestParams)+a.providerOptions.rubeusURL,
JSON.stringify(await a.response.clone().json()))})),"""


def proxy_cache(stack: ExitStack, folder: Path, stream: bool) -> Server:
    """Nginx's own cache in front of a provider."""
    upstream, port = bare(stack, folder, stream), free_port()
    file = folder / "nginx.conf"
    file.write_text(_NGINX.format(folder=folder, port=port, upstream=upstream.port))
    return launched(stack, port, ["nginx", "-p", str(folder), "-c", str(file)], upstream=upstream)


def go(stack: ExitStack, folder: Path, stream: bool) -> Server:
    """A handler of net/http that does what a hit needs, on one core."""
    headers, chunks = calls.answer(0, stream=stream)
    (folder / "answer").write_bytes(b"".join(chunks))
    subprocess.run(
        ["go", "build", "-o", str(folder / "hit"), str(ROOT / "benchmarks" / "hit.go")],
        env=os.environ | {"GOCACHE": str(folder / "gocache"), "GO111MODULE": "off"}, check=True,
    )  # fmt: skip
    port = free_port()
    kind = dict(headers)[b"content-type"].decode()
    return launched(stack, port, [str(folder / "hit"), str(port), str(folder / "answer"), kind])


def litellm(cache: str, redis: int | None = None) -> Callable[[ExitStack, Path, bool], Server]:
    """LiteLLM's proxy, with its cache in memory or in Redis, at that port if it is there already."""

    def start(stack: ExitStack, folder: Path, stream: bool) -> Server:
        upstream, port = bare(stack, folder, stream), free_port()
        params = "type: local"
        if cache == "redis":
            port_of_redis = redis or stack.enter_context(servers.redis()).port
            params = f'type: redis, host: "127.0.0.1", port: {port_of_redis}'
        file = folder / "litellm.yaml"
        file.write_text(_LITELLM.format(model=calls.MODEL, upstream=upstream.port, cache=params))
        command = [str(_ENVS / "litellm/bin/litellm"), "--config", str(file), "--port", str(port)]
        environment = {"LITELLM_MASTER_KEY": _MASTER, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        return launched(
            stack, port, [*command, "--host", "127.0.0.1", "--telemetry", "False"],
            headers={"authorization": f"Bearer {_MASTER}"}, upstream=upstream, environment=environment,
        )  # fmt: skip

    return start


def tensorzero(stack: ExitStack, folder: Path, stream: bool) -> Server:
    """TensorZero's gateway out of its wheel, with its cache in Redis."""
    upstream, redis = bare(stack, folder, stream), stack.enter_context(servers.redis())
    file = folder / "tensorzero.toml"
    file.write_text(_TENSORZERO.format(model=calls.MODEL, upstream=upstream.port))
    python = str(_ENVS / "tensorzero/bin/python")
    url = f"redis://127.0.0.1:{redis.port}"
    server = launched(stack, None, [python, "-c", _START_TENSORZERO, str(file), url], upstream=upstream)
    server.path = "/openai/v1/chat/completions"
    server.fields = {"model": "tensorzero::model_name::chat", "tensorzero::cache_options": {"enabled": "on"}}
    return server


def portkey(stack: ExitStack, folder: Path, stream: bool) -> Server:
    """Portkey's gateway."""
    upstream, port = bare(stack, folder, stream), free_port()
    build = _ENVS / "portkey/node_modules/@portkey-ai/gateway/build"
    text = (build / "start-server.js").read_text()
    assert text.count(_PORTKEY_MARK) == 1, "another release of Portkey's gateway than this was written for"
    (build / "cached.js").write_text(text.replace(_PORTKEY_MARK, _PORTKEY_CACHE + _PORTKEY_MARK))
    headers = {
        "authorization": "Bearer sk-x",
        "x-portkey-provider": "openai",
        "x-portkey-custom-host": f"http://127.0.0.1:{upstream.port}/v1",
        "x-portkey-config": json.dumps({"cache": {"mode": "simple"}}),
    }
    command = ["node", str(build / "cached.js"), f"--port={port}", "--headless"]
    return launched(stack, port, command, headers=headers, upstream=upstream)


PEERS = {
    "nginx proxy_cache": proxy_cache,
    "Go net/http": go,
    "TensorZero, Redis": tensorzero,
    "Portkey, memory": portkey,
    "LiteLLM, memory": litellm("memory"),
    "LiteLLM, Redis": litellm("redis"),
}


def lacking(name: str) -> str | None:
    """Say what a contestant needs and is not there."""
    needs: dict[str, tuple[str, ...]] = {
        "nginx return": ("nginx",), "nginx proxy_cache": ("nginx",), "Go net/http": ("go",),
        "TensorZero, Redis": ("redis-server", "tensorzero/bin/python"),
        "Portkey, memory": ("node", "portkey/node_modules"),
        "LiteLLM, memory": ("litellm/bin/litellm",), "LiteLLM, Redis": ("redis-server", "litellm/bin/litellm"),
    }  # fmt: skip
    for need in needs.get(name, ()):
        there = (_ENVS / need).exists() if "/" in need else shutil.which(need)
        if not there:
            return f".envs/{need}, which `make bench` makes" if "/" in need else need
    return None
