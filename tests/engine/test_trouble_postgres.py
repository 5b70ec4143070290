#!/usr/bin/env python3
"""test_trouble.py again, its host on PostgreSQL."""
import os, sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "http"))
from harness import on_postgres

on_postgres(os.path.join(HERE, "test_trouble.py"))
