"""What this task does."""


def function() -> None:
    """Put the logic you wish to execute in this function.

    What it prints goes into the task's log. It succeeds when it returns and fails when it raises.
    """
    print("hello from keiji")

    # To ask a web page how it is, for example:
    #
    # from urllib.request import urlopen
    #
    # with urlopen("https://www.google.com/", timeout=5) as response:
    #     print("status: ", response.status)
