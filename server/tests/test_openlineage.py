"""The events of lineage against the specification's own classes, as its stock client has them, and our facets against their schema."""

import importlib
import json
import pathlib
import pkgutil
import urllib.request

import jsonschema
import mlflow
import numpy
import onnx
import openlineage.client.generated as generated
import openlineage.client.generated.base as specification
import pandas
import pytest
from openlineage.client.serde import Serde

import conftest

MODEL = pathlib.Path(__file__).parents[2] / "sim/models/v1/model.onnx"
FACETS = json.loads((pathlib.Path(__file__).parents[2] / "docs/openlineage-facets.json").read_text())


MADE = {}


@pytest.fixture
def events(signed_in, control_plane):
    """Events of all that one client did, once for both tests."""
    if control_plane not in MADE:
        MADE[control_plane] = made(signed_in, control_plane)
    return MADE[control_plane]


def made(client, control_plane):
    """What the stock MLflow client left: a parent, a run with a dataset, a logged model that was registered, and one that failed."""
    mlflow.set_experiment("openlineage")
    with mlflow.start_run(run_name="sweep"):
        with mlflow.start_run(run_name="one", nested=True) as run:
            frame = {"x": numpy.arange(4.0), "y": numpy.arange(4)}
            mlflow.log_input(mlflow.data.from_numpy(numpy.ones((4, 2)), name="pixels"), context="training")
            mlflow.log_input(mlflow.data.from_pandas(pandas.DataFrame(frame), name="table"), context="eval")
            mlflow.log_params({"rate": 0.1, "layers": 3})
            mlflow.log_metrics({"loss": float("nan"), "accuracy": 0.5}, step=2)
            mlflow.set_tags({"mlflow.source.git.commit": "abc", "mlflow.source.git.repoURL": "https://git.example/train.git"})
            model = mlflow.onnx.log_model(onnx.load(str(MODEL)), name="net", pip_requirements=["onnx"])
    client.create_registered_model("ol-net")
    client.create_model_version("ol-net", f"models:/{model.model_id}", run_id=run.info.run_id, model_id=model.model_id)
    with pytest.raises(ZeroDivisionError), mlflow.start_run(run_name="broken"):
        1 / 0
    return list(exported(control_plane))


def exported(control_plane, after="0.0.0"):
    """All events, page by page."""
    more = True
    while more:
        url = f"{control_plane}/api/v1/lineage/openlineage?after={after}&limit=3"
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {conftest.ADMIN_TOKEN}"})
        with urllib.request.urlopen(request) as answer:
            after, more = answer.headers["edgeflow-next"], answer.headers["edgeflow-more"] == "true"
            yield from (json.loads(line) for line in answer.read().decode().splitlines())


def facet_classes():
    """Every facet of the specification by its schema's address."""
    classes = {}
    for module in pkgutil.iter_modules(generated.__path__):
        for value in vars(importlib.import_module(f"{generated.__name__}.{module.name}")).values():
            if isinstance(value, type) and hasattr(value, "_get_schema"):
                classes[value._get_schema()] = value
    return classes


def built(kind, fields):
    """An object of the specification's class. A field that it does not have, or lacks, raises."""
    return kind(**fields)


def facets_of(body, classes):
    """Facets as objects of their classes; ours are held against their schema."""
    found = {}
    for name, facet in body.items():
        facet = dict(facet)
        schema, producer = facet["_schemaURL"], facet["_producer"]
        assert producer.startswith("urn:edgeflow:server:")
        if schema.startswith(FACETS["$id"]):
            definition = FACETS["$defs"][schema.rsplit("/", 1)[1]]
            jsonschema.validate(facet, definition["allOf"][1])
            assert set(definition["allOf"][1]["properties"]) == set(facet) - {"_schemaURL", "_producer"}, name
            continue
        kind = classes[schema]
        del facet["_schemaURL"], facet["_producer"]
        if "fields" in facet:
            facet["fields"] = [built(classes[schema + "Fields"], field) for field in facet["fields"]]
        found[name] = built(kind, facet)
        assert found[name]._get_schema() == schema
    return found


def test_every_event_is_one_of_the_specification(events):
    classes = facet_classes()
    for event in events:
        event = json.loads(json.dumps(event))
        assert event.pop("schemaURL") == specification.RunEvent._get_schema()
        run, job = event.pop("run"), event.pop("job")
        run["facets"], job["facets"] = facets_of(run["facets"], classes), facets_of(job["facets"], classes)
        sides = {}
        for side, kind, own in [("inputs", specification.InputDataset, "inputFacets"), ("outputs", specification.OutputDataset, "outputFacets")]:
            sides[side] = []
            for dataset in event.pop(side):
                dataset["facets"] = facets_of(dataset["facets"], classes)
                if own in dataset:
                    dataset[own] = facets_of(dataset[own], classes)
                sides[side].append(built(kind, dataset))
        event["eventType"] = specification.EventType(event["eventType"])
        whole = specification.RunEvent(run=built(specification.Run, run), job=built(specification.Job, job), **sides, **event)
        assert Serde.to_json(whole)


def test_runs_begin_and_end_and_say_what_went_in_and_came_out(events):
    by_run = {}
    for event in events:
        by_run.setdefault((event["run"]["runId"], event["job"]["name"]), []).append(event)
    training = {key: told for key, told in by_run.items() if key[1] == "training/openlineage"}
    assert sorted([event["eventType"] for event in told] for told in training.values()) == [
        ["START", "COMPLETE"],
        ["START", "COMPLETE"],
        ["START", "FAIL"],
    ]
    [one] = [told[-1] for told in training.values() if told[-1]["inputs"]]
    assert [(dataset["name"], dataset["inputFacets"]["edgeflow_context"]["trainedOn"]) for dataset in one["inputs"]] == [
        ("pixels", True),
        ("table", False),
    ]
    assert {field["name"]: field["type"] for field in one["inputs"][1]["facets"]["schema"]["fields"]} == {"x": "double", "y": "long"}
    [sweep] = [told for told in training.values() if told[0]["run"]["facets"]["edgeflow_training"]["runName"] == "sweep"]
    assert one["run"]["facets"]["parent"]["run"]["runId"] == sweep[0]["run"]["runId"]
    assert one["job"]["facets"]["sourceCodeLocation"]["url"] == "https://git.example/train.git"
    metrics = {metric["key"]: metric["value"] for metric in one["run"]["facets"]["edgeflow_training"]["metrics"]}
    assert metrics == {"loss": "NaN", "accuracy": 0.5}
    [registration] = [event for event in events if event["job"]["name"] == "registration/ol-net"]
    made = {dataset["name"] for dataset in one["outputs"]}
    assert {dataset["name"] for dataset in registration["inputs"]} <= made
    assert registration["outputs"][0]["name"] == "models/ol-net/1"
