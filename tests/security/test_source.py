"""What the program's source may not have: ways from data to code. Ruff's S rules look as well."""

import ast
import base64
import io
import os
import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from boxloop.data.dataset import from_parquet

PROJECT = Path(__file__).parents[2]
FOLDERS = ("include", "plugins", "dags", "benchmarks", "docs")
FORBIDDEN_MODULES = {
    *(
        "pickle",
        "cPickle",
        "_pickle",
        "marshal",
        "shelve",
        "dill",
        "cloudpickle",
        "joblib",
        "torch",
    ),
    *("xml.etree", "xml.dom", "xml.sax.expatreader", "xmlrpc", "telnetlib", "ftplib", "commands"),
}
FORBIDDEN_CALLS = {
    *(
        "eval",
        "exec",
        "compile",
        "__import__",
        "os.system",
        "os.popen",
        "yaml.load",
        "yaml.full_load",
    ),
    *(
        "yaml.unsafe_load",
        "yaml.load_all",
        "np.load",
        "numpy.load",
        "pd.read_pickle",
        "tf.py_function",
    ),
    *(
        "tempfile.mktemp",
        "tarfile.extractall",
        "etree.parse",
        "etree.XML",
        "etree.HTML",
        "jinja2.Template",
    ),
    *("pickletools.optimize", "importlib.reload", "ssl._create_unverified_context"),
}
ALLOWED = {
    ("include/boxloop/yaml_text.py", "yaml.load"): "with a safe loader that also refuses aliases",
    ("include/boxloop/detector/torch_file.py", "pickletools"): "reads instructions, follows few",
}
METHODS = {"extractall", "to_pickle", "read_pickle", "run_function"}
"""Of whatever object."""


def sources() -> Iterator[tuple[str, ast.Module]]:
    for folder in FOLDERS:
        for path in sorted((PROJECT / folder).rglob("*.py")):
            yield str(path.relative_to(PROJECT)), ast.parse(path.read_text("utf-8"))


def name_of(node: ast.expr) -> str:
    """Return a dotted name, "" of what is none."""
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}".lstrip(".")
    return node.id if isinstance(node, ast.Name) else ""


def problems(where: str, tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [each.name for each in node.names]
            modules = names if isinstance(node, ast.Import) else [str(node.module)]
            for module in modules:
                if any(f"{module}.".startswith(f"{bad}.") for bad in FORBIDDEN_MODULES):
                    yield f"{where}:{node.lineno}: imports {module}"
        elif isinstance(node, ast.Call):
            called = name_of(node.func)
            is_method = isinstance(node.func, ast.Attribute) and node.func.attr in METHODS
            if (called in FORBIDDEN_CALLS or is_method) and (where, called) not in ALLOWED:
                yield f"{where}:{node.lineno}: calls {called or ast.unparse(node.func)}"
            for word in node.keywords:
                given = getattr(word.value, "value", None)
                if (word.arg, given) in {
                    ("shell", True),
                    ("allow_pickle", True),
                    ("verify", False),
                }:
                    yield f"{where}:{node.lineno}: calls {called} with {word.arg}={given}"
                if word.arg == "resolve_entities" and given is not False:
                    yield f"{where}:{node.lineno}: resolves entities"


def test_there_is_no_way_from_data_to_code() -> None:
    found = [problem for where, tree in sources() for problem in problems(where, tree)]
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from pickle import loads",
        "import joblib.memory",
        "eval(x)",
        "yaml.load(x)",
        "np.load(x, allow_pickle=True)",
        "frame.to_pickle(x)",
        "tar.extractall(x)",
        "subprocess.run(x, shell=True)",
        "etree.XMLParser(resolve_entities=True)",
        "httpx.get(x, verify=False)",
        "os.system(x)",
    ],
)
def test_each_of_these_would_be_found(text: str) -> None:
    assert list(problems("include/boxloop/a.py", ast.parse(text)))


def test_xml_is_parsed_in_one_place() -> None:
    users = {
        where
        for where, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and name_of(node.func).startswith("etree.XMLParser")
    }
    assert users == {"include/boxloop/data/formats/untrusted.py"}


def test_what_is_rendered_is_escaped_but_for_markdown() -> None:
    for where, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and name_of(node.func).endswith("Environment"):
                words = {word.arg: getattr(word.value, "value", None) for word in node.keywords}
                is_page = where != "include/boxloop/model_card.py"
                assert words.get("autoescape", False) is is_page, where


def test_a_template_leaves_nothing_but_numbers_unescaped() -> None:
    marks = re.compile(r"\|\s*safe\b|autoescape\s+false|\{%\s*raw|Markup\(")
    numbers = re.compile(r"'[\w=\" ]*(\w+=\"%\.1f\" ?)+' \| format\(\*[\w.]+\) \| safe")
    for path in sorted((PROJECT / "include").rglob("*.j2")):
        for line in path.read_text("utf-8").splitlines():
            assert not marks.search(numbers.sub("", line)), f"{path}: {line}"


def test_pages_put_no_text_into_html_by_hand() -> None:
    words = (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
    )
    for path in sorted((PROJECT / "plugins").rglob("*.js")):
        text = path.read_text("utf-8")
        assert not [word for word in words if word in text], path


def test_a_table_runs_no_code_that_its_metadata_asks_for() -> None:
    """Before 14.0.1 pyarrow unpickled what such metadata held (CVE-2023-47248)."""

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str, str]]:
            return os.putenv, ("BOXLOOP_EVIL", "1")

    payload = pickle.dumps(Evil())
    field = pa.field(
        "a",
        pa.int64(),
        metadata={
            b"ARROW:extension:name": b"arrow.py_extension_type",
            b"ARROW:extension:metadata": payload,
        },
    )
    schema = pa.schema([field], metadata={b"evil": base64.b64encode(payload)})
    stream = io.BytesIO()
    pq.write_table(pa.table({"a": [1]}, schema=schema), stream)
    calls: list[object] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pickle, "loads", calls.append)
        found = from_parquet(stream.getvalue())
    assert found["a"].tolist() == [1]
    assert calls == []
