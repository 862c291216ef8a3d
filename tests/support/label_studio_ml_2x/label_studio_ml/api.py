"""The routes. They answer an error with 500 and its traceback."""

import hmac
import os
import traceback
from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Flask, abort, jsonify, request

TRAIN_EVENTS: tuple[str, ...] = ("ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATION_DELETED", "START_TRAINING")
MODEL_CLASS: Any = None
BASIC_AUTH: tuple[str, str] | None = None

app = Flask(__name__)


def init_app(model_class: type, basic_auth_user: str | None = None, basic_auth_pass: str | None = None) -> Flask:
    global MODEL_CLASS, BASIC_AUTH
    MODEL_CLASS = model_class
    user, password = basic_auth_user or os.getenv("BASIC_AUTH_USER"), basic_auth_pass or os.getenv("BASIC_AUTH_PASS")
    BASIC_AUTH = (user, password) if user and password else None
    return app


def with_traceback(view: Callable[[], Any]) -> Callable[[], Any]:
    @wraps(view)
    def answer() -> Any:
        try:
            return view()
        except Exception as error:
            body = {"status": 500, "detail": f"{type(error).__name__}: {error}", "result": traceback.format_exc()}
            return jsonify(body), 500

    return answer


@app.before_request
def check_credentials() -> None:
    given = request.authorization
    if BASIC_AUTH is None:
        return
    pairs = zip((given.username or "", given.password or "") if given else ("", ""), BASIC_AUTH, strict=True)
    if not all([hmac.compare_digest(one, other) for one, other in pairs]):
        abort(401)


@app.route("/setup", methods=["POST"])
@with_traceback
def setup() -> Any:
    body = request.json
    model = MODEL_CLASS(project_id=body["project"].split(".", 1)[0], label_config=body["schema"])
    if body.get("extra_params"):
        model.set_extra_params(body["extra_params"])
    return jsonify({"model_version": model.get("model_version")})


@app.route("/predict", methods=["POST"])
@with_traceback
def predict() -> Any:
    body = request.json
    params = body.get("params", {})
    context = params.pop("context", {})
    model = MODEL_CLASS(project_id=str(body["project"]).split(".", 1)[0], label_config=body["label_config"])
    return jsonify({"results": model.predict(body["tasks"], context=context, **params) or []})


@app.route("/webhook", methods=["POST"])
def webhook() -> Any:
    body = request.json
    event = body.pop("action")
    if event not in TRAIN_EVENTS:
        return jsonify({"status": "Unknown event"}), 200
    model = MODEL_CLASS(str(body["project"]["id"]), label_config=body["project"]["label_config"])
    return jsonify({"result": model.fit(event, body), "status": "ok"}), 201


@app.route("/health", methods=["GET"])
@with_traceback
def health() -> Any:
    return jsonify({"status": "UP", "model_class": MODEL_CLASS.__name__})
