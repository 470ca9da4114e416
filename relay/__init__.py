"""Self-hosted OAuth server and event queue for isolated on-premises Bitrix24 portals."""

__version__ = "0.1.0"
