"""``report.html``: one file that needs nothing else, for a browser, a mail attachment or a printer.

Nothing in it can be made to run: texts are escaped by the one function that builds elements, and the page's own policy
allows the two inline blocks that it came with, by their hashes, and no address at all.
"""

from pytest_trtcheck.report.html.page import render_html

__all__ = ["render_html"]
