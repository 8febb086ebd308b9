"""IPython, as far as a job that shows itself needs it: a shell with a kernel, and ``display``. Put its folder's folder
on the path, and look at ``drawn``.
"""


class Shell:
    kernel = object()


def get_ipython() -> Shell:
    return Shell()
