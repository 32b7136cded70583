"""A generated shop whose truth is known: catalogue and event log with the structure of a real one."""

from precompute.sample_shop.config import END, REGIONS, SampleShopConfig
from precompute.sample_shop.shop import SampleShop, Truth, in_memory, make_shop, write_shop

__all__ = ["END", "REGIONS", "SampleShop", "SampleShopConfig", "Truth", "in_memory", "make_shop", "write_shop"]
