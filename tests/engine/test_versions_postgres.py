#!/usr/bin/env python3
"""test_versions.py on PostgreSQL."""
import os, runpy

os.environ["VERSIONS_ON"] = "postgres"
runpy.run_path(os.path.join(os.path.dirname(os.path.abspath(__file__)), "test_versions.py"), run_name="__main__")
