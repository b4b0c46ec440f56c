"""The part in C, which pyproject.toml cannot name yet; the rest is there.

Where it cannot be compiled the package is the same, and slower on large pages.
"""

from setuptools import Extension, setup

setup(ext_modules=[Extension("crawler._survey", ["crawler/_survey.c"], optional=True)])
