"""Who the workers are, from the environment."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elegant_tf.errors import UserError
from elegant_tf.training import cluster
from elegant_tf.training.cluster import expand_counts, expand_hosts, find_cluster


def tf_config(jobs, job="worker", index=0):
    return json.dumps({"cluster": jobs, "task": {"type": job, "index": index}})


@pytest.mark.parametrize(
    ("jobs", "job", "index", "place"),
    [
        ({"worker": ["a:1", "b:1"]}, "worker", 1, 1),
        ({"chief": ["c:1"], "worker": ["a:1", "b:1"]}, "chief", 0, 0),
        ({"chief": ["c:1"], "worker": ["a:1", "b:1"]}, "worker", 1, 2),
    ],
)
def test_tf_config_names_the_chief_first(monkeypatch, jobs, job, index, place):
    monkeypatch.setenv("TF_CONFIG", tf_config(jobs, job, index))
    found = find_cluster("tf_config", 0, 1)
    assert found.workers == tuple(jobs.get("chief", []) + jobs["worker"])
    assert found.task == place


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "TF_CONFIG: is not set"),
        ("{", "TF_CONFIG={: cannot be understood"),
        ("[]", "cannot be understood"),
        ('{"cluster": {"worker": ["a:1"]}}', "cannot be understood"),
        (tf_config({"worker": ["a:1"]}, index=1), "task worker 1 is not in the cluster, which has 1 worker"),
        (tf_config({"worker": ["a:1"], "ps": ["b:1"]}), "has the jobs ps; only chief and worker"),
    ],
)
def test_a_tf_config_that_says_nothing_useful_is_refused(monkeypatch, text, match):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UserError, match=match):
        find_cluster("tf_config", 0, 1)


def slurm(monkeypatch, rank, nodes, counts):
    for name, value in {"PROCID": rank, "STEP_NODELIST": nodes, "STEP_TASKS_PER_NODE": counts}.items():
        monkeypatch.setenv(f"SLURM_{name}", str(value))


def test_slurm_ranks_follow_the_list_of_nodes(monkeypatch):
    slurm(monkeypatch, 3, "gpu[9-10],login", "2(x2),1")
    found = find_cluster("slurm", 0, 8470)
    assert found.workers == ("gpu9:8470", "gpu9:8471", "gpu10:8470", "gpu10:8471", "login:8470")
    assert found.workers[found.task] == "gpu10:8471"


@pytest.mark.parametrize(
    ("rank", "nodes", "counts", "match"),
    [
        ("", "a", "1", "SLURM_PROCID: is not set"),
        ("x", "a", "1", "SLURM_PROCID=x: must be a whole number"),
        (1, "a", "1", "SLURM_PROCID=1: must be below the number of tasks, 1"),
        (0, "a[1", "1", "SLURM_STEP_NODELIST="),
        (0, "a[1-x]", "1", "SLURM_STEP_NODELIST="),
        (0, "a", "two", "SLURM_STEP_TASKS_PER_NODE=two: cannot be understood at two"),
        (0, "a,b", "1", "counts tasks on 1 nodes; there are 2"),
    ],
)
def test_slurm_variables_that_cannot_be_understood_are_named(monkeypatch, rank, nodes, counts, match):
    slurm(monkeypatch, rank, nodes, counts)
    with pytest.raises(UserError, match=match):
        find_cluster("slurm", 0, 8470)


@given(
    st.lists(
        st.tuples(st.sampled_from(["n", "gpu-", "rack1-"]), st.integers(0, 50), st.integers(1, 4)),
        min_size=1,
        max_size=4,
    )
)
def test_every_range_of_hosts_is_expanded_in_order(parts):
    text = ",".join(f"{prefix}[{first:02d}-{first + count - 1:02d}]" for prefix, first, count in parts)
    assert expand_hosts(text) == [
        f"{prefix}{first + place:02d}" for prefix, first, count in parts for place in range(count)
    ]


def test_counts_are_expanded():
    assert expand_counts("2(x3),1") == [2, 2, 2, 1]


@pytest.mark.parametrize(
    ("host", "workers"),
    [
        ("train-1.pods.lab.svc.cluster.local", [f"train-{k}.pods.lab.svc.cluster.local:8470" for k in range(3)]),
        ("train-2", [f"train-{k}:8470" for k in range(3)]),
    ],
)
def test_pods_are_called_by_their_number(monkeypatch, host, workers):
    monkeypatch.setattr(cluster.socket, "getfqdn", lambda: host)
    found = find_cluster("kubernetes", 3, 8470)
    assert list(found.workers) == workers
    assert found.workers[found.task] == f"{host}:8470"


@pytest.mark.parametrize(
    ("host", "workers", "match"),
    [
        ("laptop", 2, "--cluster=kubernetes: this host is called laptop"),
        ("train-0", 0, "--workers=0: must be the number of pods"),
        ("train-2", 2, "--workers=2: must be more than 2, the number of this pod, train-2"),
    ],
)
def test_a_host_that_is_no_pod_of_the_job_is_refused(monkeypatch, host, workers, match):
    monkeypatch.setattr(cluster.socket, "getfqdn", lambda: host)
    with pytest.raises(UserError, match=match):
        find_cluster("kubernetes", workers, 8470)
