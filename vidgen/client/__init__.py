"""The Python client. Three lines make a video::

    from vidgen.client import Client

    job = Client().generate("A lighthouse at dusk. A gull over the sea.", shots=2).wait()
    job.download("lighthouse.mp4")

A server elsewhere, with a key (or VIDGEN_URL and VIDGEN_API_KEY in the environment)::

    client = Client("https://video.example.org", api_key="…")

From an image, with a model and its parameters; every field of the REST contract is an argument by its own name::

    job = client.generate(
        "The boat leaves the harbour", image="boat.jpg", model="local:svd-xt", seed=7, width=1024, height=576,
        parameters={"motion_bucket_id": 90}, style_preferences={"mood": "calm"},
    )

What happens meanwhile, every event once and in order, whatever becomes of the connection::

    for event in job.events():
        print(event.type, event.progress, event.message)

One shot again; only what changed is rendered::

    better = job.edit(shots=[{"id": "shot_002", "description": "A gull lands on the rail"}]).wait()

A server that refuses raises an :class:`ApiError` with the server's own words, and names the fields that are wrong::

    try:
        client.generate("A cat", seed=-1)
    except InvalidRequest as e:
        print(e.fields[0].field, e.fields[0].message)

In a notebook a job at the end of a cell shows how far it is, and its video once there is one; ``job.show()`` waits with
live progress in the cell.
"""

from vidgen.client.answers import Event, Model, Shot, Storyboard, Upload
from vidgen.client.client import Client
from vidgen.client.errors import (
    ApiError,
    ClientError,
    Conflict,
    ConnectionFailed,
    DiskLow,
    Forbidden,
    InvalidRequest,
    JobFailed,
    NotFound,
    QueueFull,
    TooLarge,
    Unauthorized,
    Unavailable,
    WrongField,
)
from vidgen.client.job import Job

__all__ = [
    "ApiError", "Client", "ClientError", "Conflict", "ConnectionFailed", "DiskLow", "Event", "Forbidden",
    "InvalidRequest", "Job", "JobFailed", "Model", "NotFound", "QueueFull", "Shot", "Storyboard", "TooLarge",
    "Unauthorized", "Unavailable", "Upload", "WrongField",
]
