"""`python3 -m mimi_server` is `mimi-server`."""

from . import main

main()
