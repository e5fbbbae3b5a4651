"""The gateway: the same cache behind a base URL, for programs in any language. Extra: `askonce[gateway]`."""

from __future__ import annotations

from askonce.gateway.app import Gateway as Gateway
from askonce.gateway.app import create_app as create_app
from askonce.gateway.settings import GatewaySettings as GatewaySettings
from askonce.gateway.settings import read_gateway_settings as read_gateway_settings
from askonce.gateway.upstreams import Upstream as Upstream

__all__ = ["Gateway", "GatewaySettings", "Upstream", "create_app", "read_gateway_settings"]
