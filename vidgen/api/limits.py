"""The limits of the web side, each with its unit. What a job may ask for is bounded in ``vidgen/request.py``."""

KB = 1024
MB = 1024 * KB

# bodies
MAX_BODY_BYTES = 1 * MB                # of a JSON request
MAX_ENVELOPE_BYTES = 64 * KB           # of a multipart upload, around the file
MAX_DISCARDED_BYTES = 32 * MB          # of a body that nobody reads any more, before the connection is cut
MAX_HEADER_BYTES = 64 * KB             # request line and headers together
BODY_IDLE_S = 30.0                     # without a byte of an unfinished body
BODY_TOTAL_S = 300.0                   # from the first byte of a body to its last
SEND_IDLE_S = 60.0                     # without a byte taken of a file that is being sent

# OpenAI's routes
MAX_VIDEO_BODY_BYTES = 15 * MB         # of a create: the largest image that is taken, as base64, and the fields
MAX_FORM_FIELDS = 500                  # of one form
MAX_FORM_DEPTH = 6                     # of a nested name, such as parameters[guidance_scale]
SAME_CREATE_S = 1_800                  # how long a client's own repeat of a create is known: 3 times its timeout of 600
MAX_CURSORS = 10_000                   # ends of pages that are remembered, in case their last video is deleted
MIN_POLL_MS = 250
DEFAULT_POLL_MS = 1_000                # where it is not known when the video will be ready
MAX_POLL_MS = 5_000

# requests
MAX_PAGE = 1_000_000
MAX_PAGE_SIZE = 100
MAX_SEARCH_CHARS = 200
MAX_IDEMPOTENCY_KEY_CHARS = 200
MAX_SEQ = 2**63 - 1                    # an event's number
MAX_JSON_DEPTH = 32
MAX_JSON_INTEGER = 2**63 - 1
MAX_EXACT_FLOAT = 2**53                # beyond it, floating point skips integers
MAX_FIELDS_NAMED = 20                  # wrong fields that one answer lists
MAX_FIELD_CHARS = 200                  # of a field's name in an error
MAX_MESSAGE_CHARS = 300                # of what is said about a field
MAX_NAME_CHARS = 255                   # of a client's own name for a file

# threads
SLOW_CALLS = 16                        # calls at once that may wait for seconds: deletes, uploads, plans
DRAWINGS = 1                           # contact sheets at once; more would only take the cores from one another
LOG_READS = 8                          # reads of the event log at once, on behalf of listeners

# listeners (WebSockets and server-sent events)
MAX_LISTENERS = 5_000                  # at once, all jobs together
TAIL_EVENTS = 512                      # of a job, kept in memory for all its listeners together
BATCH_EVENTS = 64                      # written to a listener at once
STUCK_S = 10.0                         # without taking a byte, before a listener is cut off
TICK_S = 1.0                           # how often listeners are looked over
PING_EVERY_S = 4.0                     # WebSocket keep-alive: a client that reads answers by itself
PING_TIMEOUT_S = 7.0                   # with PING_EVERY_S: a client that never reads is gone within 12 s
KEEPALIVE_S = 15.0                     # between comments on a silent event stream
MAX_MESSAGE_BYTES = 4 * KB             # of what a client sends on a WebSocket
MAX_FRAGMENTS = 16                     # of one such message
MAX_SOCKET_BYTES_PER_S = 16 * KB       # that a client may send on a WebSocket
MESSAGES_PER_S = 10                    # that a client may send on a WebSocket, lastingly
MESSAGES_BURST = 40                    # and at once
MAX_UNREAD_BYTES = 256 * KB            # written to a WebSocket whose client does not read
LINGER_S = 2.0                         # between a WebSocket's end and the cutting of its connection
GRACEFUL_S = 5                         # for requests that are being answered when the server stops
