"""The parts in C, which pyproject.toml cannot name yet; the rest is there.

Where they cannot be compiled the package is the same, and slower on large pages.
"""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(f"crawler._{name}", [f"crawler/_{name}.c"], optional=True)
        for name in ("pages", "survey")
    ]
)
