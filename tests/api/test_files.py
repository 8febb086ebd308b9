"""Videos and the files beside them: ranges, HEAD, caching, names."""

import pytest

from tests.api import check


@pytest.fixture(scope="module")
def video(server, finished) -> bytes:
    return server.get(finished["output_video_url"]).content


def test_the_video_downloads_whole(server, finished, video):
    answer = server.get(f"/api/v1/jobs/{finished['id']}/video")
    assert answer.content == video
    assert answer.headers["Content-Type"] == "video/mp4"
    assert answer.headers["Content-Length"] == str(len(video))
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{finished["id"]}.mp4"'
    assert video[4:8] == b"ftyp"


def test_head_gives_the_headers_alone(server, finished, video):
    answer = server.client.head(f"/api/v1/jobs/{finished['id']}/video")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["Content-Length"] == str(len(video))


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [("bytes=0-99", 0, 100), ("bytes=100-", 100, None), ("bytes=-7", -7, None), ("bytes=5-5", 5, 6),
     ("bytes=10-99999999999", 10, None), ("bytes=-99999999999", 0, None)],
)
def test_a_part(server, finished, video, asked, start, stop):
    answer = server.get(finished["output_video_url"], headers={"Range": asked})
    part = video[start:stop]
    first = len(video) + start if start < 0 else start
    assert (answer.status_code, answer.content) == (206, part)
    assert answer.headers["Content-Range"] == f"bytes {first}-{first + len(part) - 1}/{len(video)}"


@pytest.mark.parametrize("asked", ["bytes=5-2", "bytes=-", "bytes=a-b", "lines=0-1", "bytes=0-1,5-6", "nonsense"])
def test_a_range_that_is_none_gives_the_whole(server, finished, video, asked):
    answer = server.get(finished["output_video_url"], headers={"Range": asked})
    assert (answer.status_code, answer.content) == (200, video)


@pytest.mark.parametrize("past", ["bytes={size}-", "bytes={size}-99999999999", "bytes=-0"])
def test_a_range_past_the_end(server, finished, video, past):
    answer = server.get(finished["output_video_url"], headers={"Range": past.format(size=len(video))})
    check.error(answer, 416, "range_not_satisfiable")
    assert answer.headers["Content-Range"] == f"bytes */{len(video)}"


def test_a_range_of_another_version_gives_the_whole(server, finished, video):
    answer = server.get(finished["output_video_url"], headers={"Range": "bytes=0-9", "If-Range": '"other"'})
    assert (answer.status_code, answer.content) == (200, video)
    same = server.get(finished["output_video_url"], headers={"Range": "bytes=0-9", "If-Range": answer.headers["ETag"]})
    assert same.status_code == 206


def test_a_known_file_is_not_sent_again(server, finished):
    first = server.get(finished["output_video_url"])
    for headers in ({"If-None-Match": f'"x", W/{first.headers["ETag"]}'},
                    {"If-Modified-Since": first.headers["Last-Modified"]}):
        again = server.get(finished["output_video_url"], headers=headers)
        assert (again.status_code, again.content) == (304, b"")
    assert server.get(finished["output_video_url"], headers={"If-None-Match": '"x"'}).status_code == 200


def test_all_that_a_job_names_can_be_had(server, finished):
    shots = finished["storyboard"]["shots"]
    types = {
        finished["poster_url"]: "image/jpeg", shots[0]["video_url"]: "video/mp4", shots[1]["poster_url"]: "image/jpeg",
    }
    for url, kind in types.items():
        answer = server.get(url)
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, kind)


@pytest.mark.parametrize(
    "name",
    ["nothing.mp4", "..%2f..%2fvidgen.db", "%2e%2e", ".shot_001.mp4", "shot_001.mp4%00", "shot_001.mp4%0a", "a" * 999],
)
def test_no_other_file_can_be_had(server, finished, name):
    check.error(server.get(f"/videos/{finished['id']}/{name}"), 404, "not_found")


@pytest.mark.parametrize("job_id", ["job_0000000000000000", "..", "%2e%2e", "uploads"])
def test_no_other_folder_can_be_had(server, job_id):
    check.error(server.get(f"/videos/{job_id}/final_output.mp4"), 404, "not_found")


def test_the_video_of_an_unfinished_job(server, held):
    job_id = held()
    check.error(server.get(f"/api/v1/jobs/{job_id}/video"), 409, "not_finished")
    check.error(server.get(f"/videos/{job_id}/final_output.mp4"), 404, "not_found")
    check.error(server.get("/api/v1/jobs/job_none/video"), 404, "not_found")
