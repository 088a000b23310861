"""The function of this task."""


def function() -> None:
    """Put the logic you wish to execute in this function.

    Its output goes to the log of the task. The run succeeds if the function returns, and fails if it raises.
    """
    print("hello from keiji")

    # For example, to check a web page:
    #
    # from urllib.request import urlopen
    #
    # with urlopen("https://www.google.com/", timeout=5) as response:
    #     print("status: ", response.status)
