"""What only MongoDB has: its failures, indexes, the host's database and collection, keys and dates."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import Any

import mongomock
import pymongo
import pytest

from elixi_models.errors import StoreUnavailable
from elixi_models.records import Measurement, UsageEvent
from elixi_models.store import bson
from elixi_models.store.documents import read_record, storable
from elixi_models.store.mongostore import MongoStore

NOW_S = float(int(time.time()))


@pytest.fixture
def database() -> Any:
    return mongomock.MongoClient().get_database("elixi")


@pytest.fixture
def store(database: Any) -> MongoStore:
    return MongoStore(database)


class Refusing:
    """A database of which some operations fail."""

    def __init__(self, database: Any, **failures: Exception) -> None:
        self._database = database
        self._failures = failures

    def get_collection(self, name: str, **options: Any) -> Any:
        collection = self._database.get_collection(name, **options)
        for method, failure in self._failures.items():

            def fail(*args: Any, failure: Exception = failure, **more: Any) -> None:
                raise failure

            setattr(collection, method, fail)
        return collection


@pytest.mark.parametrize(
    "failure",
    [
        pymongo.errors.ServerSelectionTimeoutError("host:27017 secret"),
        pymongo.errors.AutoReconnect("secret"),
        pymongo.errors.NotPrimaryError("secret"),
        pymongo.errors.OperationFailure("secret not authorized", 13),
        pymongo.errors.InvalidOperation("secret closed client"),
    ],
)
def test_every_failure_of_the_driver_is_ours(database: Any, failure: Exception) -> None:
    """Reading and writing; what the driver said is not in the message."""
    store = MongoStore(Refusing(database, find=failure, insert_one=failure))
    for verb in (
        lambda: store.preference("k"),
        lambda: store.put_preference("k", version=1, value={}, now_s=1.0),
    ):
        with pytest.raises(StoreUnavailable) as caught:
            verb()
        assert "secret" not in caught.value.message


def test_a_batch_fails_unless_only_duplicates_were_refused(database: Any) -> None:
    """A refusal for another reason is a failure, and so is a write concern that was not met."""
    measurement = Measurement("a", NOW_S, "u", "m", "chat", "ok", 1.0)
    for details in (
        {"writeErrors": [{"code": 11000}, {"code": 121}]},
        {"writeErrors": [{"code": 11000}], "writeConcernErrors": [{"code": 64}]},
    ):
        failure = pymongo.errors.BulkWriteError(details)
        with pytest.raises(StoreUnavailable):
            MongoStore(Refusing(database, insert_many=failure)).add_measurements([measurement])
    duplicates = pymongo.errors.BulkWriteError({"writeErrors": [{"code": 11000}]})
    MongoStore(Refusing(database, insert_many=duplicates)).add_measurements([measurement])


def test_indexes_are_made_on_our_collections_only(store: MongoStore, database: Any) -> None:
    """At the first use of each; none on the host's `cache`, none on what was not used."""
    store.jobs("download", ollama_url="u")
    store.cache_put("k", 1, now_s=NOW_S, ttl_s=60.0)
    keys = {tuple(field for field, _ in index["key"]) for index in database["model_jobs"].index_information().values()}
    assert ("kind", "subject", "number") in keys
    assert ("lease_of", "attempt") in keys
    assert set(database["cache"].index_information()) <= {"_id_"}
    assert database["model_usage"].index_information() == {}


def test_a_server_that_refuses_indexes_serves_all_the_same(database: Any) -> None:
    """They make it faster, not right; the TTL index likewise."""
    refused = pymongo.errors.OperationFailure("not implemented", 238)
    store = MongoStore(Refusing(database, create_index=refused))
    store.add_measurements([Measurement("a", NOW_S - 86_400 * 3, "u", "m", "chat", "ok", 1.0)])
    store.sweep(now_s=NOW_S, measurement_days=2, rollup_days=730)
    assert store.measurements(ollama_url="u", since_s=0) == []


def test_the_ttl_index_is_tried(store: MongoStore, database: Any) -> None:
    """On the date of a measurement, for as many days as the setting says."""
    store.sweep(now_s=NOW_S, measurement_days=2, rollup_days=730)
    index = database["model_measurements"].index_information()["elixi_models_ttl"]
    assert (index["key"], index["expireAfterSeconds"]) == ([("created_at", 1)], 2 * 86_400)


def test_a_ttl_index_with_another_age_does_not_stay(store: MongoStore, database: Any) -> None:
    """It would delete too early; the next sweep makes the right one."""
    store.sweep(now_s=NOW_S, measurement_days=2, rollup_days=730)
    store.sweep(now_s=NOW_S, measurement_days=30, rollup_days=730)
    store.sweep(now_s=NOW_S, measurement_days=30, rollup_days=730)
    index = database["model_measurements"].index_information()["elixi_models_ttl"]
    assert index["expireAfterSeconds"] == 30 * 86_400


def test_the_hosts_options_do_not_weaken_ours(unconnected_options: Any) -> None:
    """A host that reads from secondaries without waiting for its writes: we read the primary and are acknowledged."""
    collection = MongoStore(unconnected_options)._mongo._collection("cache")
    assert collection.read_preference == pymongo.ReadPreference.PRIMARY
    assert collection.write_concern.acknowledged


@pytest.fixture
def unconnected_options() -> Any:
    with pymongo.MongoClient("mongodb://127.0.0.1:9", connect=False) as client:
        yield client.get_database(
            "elixi",
            read_preference=pymongo.ReadPreference.SECONDARY,
            write_concern=pymongo.WriteConcern(w=0),
        )


def test_a_host_without_a_database_is_told_and_asked_again() -> None:
    """Its getter gives None while its server is down."""
    answers = [None, mongomock.MongoClient().get_database("elixi")]
    store = MongoStore(reopen=lambda: answers.pop(0))
    with pytest.raises(StoreUnavailable):
        store.ping()
    store.ping()


def test_the_cache_has_the_hosts_fields(store: MongoStore, database: Any) -> None:
    """key, value, expires, created_at, as stage5_utils reads them by key; dates are UTC."""
    store.cache_put("model_perf_m", {"a": 1}, now_s=NOW_S, ttl_s=60.0)
    document = database["cache"].find_one({"key": "model_perf_m"})
    assert set(document) == {"_id", "key", "value", "expires", "created_at"}
    assert document["value"] == {"a": 1}
    assert document["created_at"].replace(tzinfo=timezone.utc).timestamp() == NOW_S
    assert document["expires"].replace(tzinfo=timezone.utc).timestamp() == NOW_S + 60


def test_the_sweep_leaves_the_hosts_cache_alone(store: MongoStore, database: Any) -> None:
    """Its entries have ids of their own and local times that are not ours to judge."""
    long_ago = datetime(2020, 1, 1)
    database["cache"].insert_one({"key": "news", "value": 1, "expires": long_ago, "created_at": long_ago})
    store.cache_put("old", 1, now_s=NOW_S, ttl_s=1.0)
    store.sweep(now_s=NOW_S + 2, measurement_days=30, rollup_days=730)
    assert [document["key"] for document in database["cache"].find()] == ["news"]


def test_two_writers_of_one_cached_value_are_no_error(database: Any) -> None:
    """On servers whose upsert is not atomic the slower one is refused: the other's value is as good."""
    duplicate = pymongo.errors.DuplicateKeyError("E11000")
    MongoStore(Refusing(database, replace_one=duplicate)).cache_put("k", 1, now_s=NOW_S, ttl_s=1.0)


def test_a_lease_number_used_a_second_time_is_given_back(store: MongoStore, database: Any) -> None:
    """A taker that slept between its look and its insert meets a number that was swept away meanwhile."""
    for attempt in range(1, 4):
        store.take_lease("j", owner="a", now_s=100.0 * attempt, term_s=1.0)
    database["model_jobs"].delete_one({"_id": bson.lease_id("j", 1)})
    looks = [None]
    original = store.lease
    store.lease = lambda job_id: looks.pop() if looks else original(job_id)  # type: ignore[method-assign]
    assert store.take_lease("j", owner="late", now_s=1000.0, term_s=1.0) is None
    assert database["model_jobs"].find_one({"_id": bson.lease_id("j", 1)}) is None


def test_times_stand_as_dates_too(store: MongoStore, database: Any) -> None:
    """To the millisecond, for the TTL index and for people; the number keeps all of it."""
    store.add_usage([UsageEvent("u", NOW_S + 0.1239, "x", "switch", "m", "ok")])
    document = database["model_usage"].find_one({"_id": "u"})
    assert document["created_at"].replace(tzinfo=timezone.utc).timestamp() == NOW_S + 0.123
    assert document["created_at_s"] == NOW_S + 0.1239


@pytest.mark.parametrize("key", ["a.b", "$set", "100%", "%2E", "%24.%", "plain"])
def test_any_key_survives_its_encoding(key: str) -> None:
    """Also those that look encoded; what is stored has neither dot nor dollar."""
    stored = bson.encoded({key: [{key: 1}]})
    assert not {".", "$"} & set("".join(stored))
    assert bson.decoded(stored) == {key: [{key: 1}]}


def test_dates_without_a_zone_are_utc() -> None:
    """As clients give them that were not told otherwise."""
    assert bson.seconds_of(datetime(1970, 1, 1, 0, 1)) == 60.0
    assert bson.seconds_of(datetime(1970, 1, 1, 0, 1, tzinfo=timezone.utc)) == 60.0


def test_a_record_of_a_later_version_is_read() -> None:
    """Fields that we do not know are left out; a document without the needed ones is none."""
    known = {"id": "a", "created_at_s": 1.0, "ollama_url": "u", "action": "switch", "model": None, "outcome": "ok"}
    assert read_record(UsageEvent, {**known, "later": 1}) == UsageEvent(**known)  # type: ignore[arg-type]
    assert read_record(UsageEvent, {"id": "a"}) is None


def test_storable_makes_plain_json() -> None:
    """Tuples, keys that are no strings, and numbers that are none."""
    given = {"a": (1, float("nan")), 2: {"b": float("-inf")}, "c": True}
    assert storable(given) == {"a": [1, None], "2": {"b": None}, "c": True}
