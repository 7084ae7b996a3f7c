"""Bytes at rest, identifiers, keys."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everpost.crypto.keys import KeyProblem, SealingKey, load_or_create_master_key, new_key
from everpost.crypto.sealed_blob import CHUNK_OCTETS, DamagedBlob, open_chunk, seal_chunk
from everpost.store.blobs import BlobWriter, NoSuchBlob
from everpost.store.ids import decode_id, encode_id
from world import make_organisation


@given(st.integers(0, 2**63 - 1))
def test_identifiers_round_trip(number: int) -> None:
    assert decode_id(encode_id(number)) == decode_id(encode_id(number).lower()) == number


@pytest.mark.parametrize("text", ["", "U", "7ZZZZZZZZZZZZZZ", "é", "8000000000000", " 1"])
def test_what_is_no_identifier_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an identifier"):
        decode_id(text)


@given(st.binary(max_size=2000), st.integers(0, 5), st.booleans())
def test_a_chunk_opens_only_in_its_place(plain: bytes, number: int, last: bool) -> None:
    key = new_key()
    sealed = seal_chunk(key, number, plain, last=last)
    assert open_chunk(key, number, sealed, last=last) == plain
    for other in (
        lambda: open_chunk(key, number + 1, sealed, last=last),
        lambda: open_chunk(key, number, sealed, last=not last),
        lambda: open_chunk(new_key(), number, sealed, last=last),
        lambda: open_chunk(key, number, sealed[:-1], last=last),
    ):
        with pytest.raises(DamagedBlob):
            other()


def test_a_chunk_that_unpacks_to_more_than_a_chunk_is_refused() -> None:
    key = new_key()
    with pytest.raises(DamagedBlob):
        open_chunk(key, 0, seal_chunk(key, 0, bytes(CHUNK_OCTETS + 1), last=True), last=True)


def test_sealed_for_one_purpose_opens_for_no_other() -> None:
    key = SealingKey.from_bytes(new_key())
    sealed = key.seal(b"secret", "blob:1:2")
    assert key.open(sealed, "blob:1:2") == b"secret"
    with pytest.raises(KeyProblem):
        key.open(sealed, "blob:2:2")


def test_the_master_key_file_is_made_once_and_must_be_private(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    sealed = load_or_create_master_key(path).seal(b"x", "y")
    assert load_or_create_master_key(path).open(sealed, "y") == b"x"
    path.chmod(0o644)
    with pytest.raises(KeyProblem, match="chmod 600"):
        load_or_create_master_key(path)


@given(st.lists(st.integers(0, 3 * CHUNK_OCTETS // 2), max_size=4))
def test_what_is_written_in_pieces_is_read_back(sizes: list[int]) -> None:
    import tempfile

    writer = BlobWriter(Path(tempfile.gettempdir()))
    expected = io.BytesIO()
    for number, size in enumerate(sizes):
        piece = bytes([number + 1]) * size
        writer.write(piece)
        expected.write(piece)
    blob = writer.finish()
    assert b"".join(blob.open_chunks()) == expected.getvalue()
    assert blob.size == len(expected.getvalue())
    blob.close()


async def test_another_organisations_blob_does_not_exist(database, master, blobs) -> None:
    from everpost.store.blobs import KeyRing, insert_blob, seal_bytes

    mine = await make_organisation(database, master, "mine")
    theirs = await make_organisation(database, master, "theirs")
    ring = KeyRing(database, master)
    async with database.transaction() as connection:
        await insert_blob(connection, mine.id, 7, await ring.organisation(mine.id), seal_bytes(b"content"))
    assert await blobs.read(mine.id, 7) == b"content"
    with pytest.raises(NoSuchBlob):
        await blobs.read(theirs.id, 7)


def test_derived_keys_are_the_same_for_a_purpose_and_differ_between_purposes_and_keys() -> None:
    key, other = SealingKey.from_bytes(b"k" * 32), SealingKey.from_bytes(b"l" * 32)
    assert key.derived("pictures") == key.derived("pictures")
    assert len({key.derived("pictures"), key.derived("else"), other.derived("pictures"), b"k" * 32}) == 4
