"""``python -m demo``: tell the story in ``.run``; exit status 1 where a step is not as said."""

import signal
import sys
from pathlib import Path

from rich.console import Console

from demo.processes import StoryError
from demo.story import Cast, Story


def main() -> int:
    """Tell it once."""
    # What a shell starts in the background ignores Ctrl-C, and so would the commands that it is shown with.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    console = Console(highlight=False)
    try:
        Story(Path(".run").resolve(), console, Cast()).tell()
    except StoryError as error:
        console.print("[bold red]Not as said:[/]", str(error), soft_wrap=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
