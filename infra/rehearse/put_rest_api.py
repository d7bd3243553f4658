"""Starts the emulator with PutRestApi, which it does not know and `chalice deploy` needs (1.5.33).

It runs in the emulator's own Python. As on AWS, the definition replaces the name, the routes and
the gateway responses of the API, and a deployment makes it visible.
"""

import importlib
import json
from typing import Any

_service: Any = importlib.import_module("ministack.services.apigateway_v1")
_others = _service.handle_request


async def _handle_request(method: str, path: str, headers: Any, body: Any, query: Any) -> Any:
    first, _, name = path.strip("/").partition("/")
    if method == "PUT" and first == "restapis" and name in _service._rest_apis:
        return _put(name, json.loads(body))
    return await _others(method, path, headers, body, query)


def _put(api: str, definition: dict[str, Any]) -> Any:
    row = _service._rest_apis[api]
    row["name"] = definition["info"]["title"]
    # The emulator's CloudFormation stores the endpoint's type under its own name.
    endpoint = row["endpointConfiguration"]
    row["endpointConfiguration"] = {"types": endpoint.get("Types") or endpoint["types"]}
    _service._gateway_responses[api] = {}
    resources = _service._resources[api]
    for name in [name for name, each in resources.items() if each["path"] != "/"]:
        del resources[name]
    for root in resources.values():
        root["resourceMethods"] = {}
    for path, item in definition["paths"].items():
        _service._import_path_item(api, path, item)
    return _service._get_rest_api(api)


if __name__ == "__main__":
    _service.handle_request = _handle_request
    importlib.import_module("ministack.app").main()
