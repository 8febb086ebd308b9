"""curl, as far as the API document's own lines need it, for machines that have none. Knows -X, -H, -d, -o and a URL."""

import argparse
import sys
import urllib.error
import urllib.request


def main() -> None:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("-X", dest="method")
    parser.add_argument("-H", dest="headers", action="append", default=[])
    parser.add_argument("-d", dest="data")
    parser.add_argument("-o", dest="output")
    parser.add_argument("url")
    asked = parser.parse_args()
    headers = dict(header.split(": ", 1) for header in asked.headers)
    data = asked.data.encode() if asked.data else None
    body = fetch(urllib.request.Request(asked.url, data, headers, method=asked.method))
    if asked.output:
        with open(asked.output, "wb") as file:
            file.write(body)
    else:
        sys.stdout.buffer.write(body)


def fetch(request: urllib.request.Request) -> bytes:
    """The body of the answer, an error's too."""
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read()
    except urllib.error.HTTPError as e:
        return e.read()


if __name__ == "__main__":
    main()
