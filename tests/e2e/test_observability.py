"""The files of tools/observability are valid, and name only existing metrics."""

import json
import re

import pytest
import yaml

from creditsd import REPO
from exposition import METRICS, OPERATIONS, promtool, scrape

FOLDER = REPO / "tools/observability"
ALERTS = [rule for group in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
          for rule in group["rules"]]
DASHBOARD = json.loads((FOLDER / "grafana-dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = {f"{panel['title']} {target['refId']}": target["expr"]
           for panel in PANELS for target in panel["targets"]}
QUERIES |= {a["name"]: a["expr"] for a in DASHBOARD["annotations"]["list"]}
EXPRESSIONS = QUERIES | {alert["alert"]: alert["expr"] for alert in ALERTS}
VARIABLES = {"$instance": ".*", "$__rate_interval": "1m"}

METRIC = re.compile(r"(credits_\w+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)=~?"([^"]*)"')
GROUPING = re.compile(r"\bby \(([^)]*)\)")
OF_PROMETHEUS = {"instance", "job"}  # labels that a scrape adds
LABEL_VALUES = {"operation": set(OPERATIONS), "status": {"2xx", "4xx", "5xx"},
                "code": {"unauthorized", "forbidden"}}


def family_of(name):
    family = re.sub(r"_(bucket|sum|count)$", "", name)
    return family if METRICS.get(family, ("",))[0] == "histogram" else name


def check(*args, **settings):
    status, output = promtool(*args, **settings)
    assert status == 0, output


# --- promtool's checks


def test_the_configuration_of_prometheus_is_valid():
    check("check", "config", "--lint=all", FOLDER / "prometheus.yml")


def test_the_configuration_is_valid_with_its_comments_enabled(tmp_path):
    text = (FOLDER / "prometheus.yml").read_text()
    text, count = re.subn(r"^( +)# ([a-z_]+: .*)$", r"\1\2", text, flags=re.MULTILINE)
    [job] = yaml.safe_load(text)["scrape_configs"]
    assert count == 3 and {"authorization", "scheme", "tls_config"} <= set(job)
    (tmp_path / "prometheus.yml").write_text(text)
    check("check", "config", "--syntax-only", tmp_path / "prometheus.yml")


def test_the_alert_rules_are_valid():
    check("check", "rules", "--lint=all", FOLDER / "alerts.yml")


def test_the_alerts_fire_when_they_should_and_only_then():
    check("test", "rules", "alerts_test.yml", cwd=FOLDER)


def test_the_queries_of_the_dashboard_are_promql(tmp_path):
    rules = []
    for title, query in QUERIES.items():
        for variable, value in VARIABLES.items():
            query = query.replace(variable, value)
        rules.append({"record": "q:" + re.sub(r"\W", "_", title), "expr": query})
    path = tmp_path / "queries.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    check("check", "rules", path)


# --- the metrics that they use


def test_each_alert_has_a_firing_test_a_severity_and_a_text():
    tests = (FOLDER / "alerts_test.yml").read_text()
    for alert in ALERTS:
        assert f'labels: \'{{alertname="{alert["alert"]}"' in tests
        assert alert["labels"]["severity"] in ("critical", "warning")
        assert alert["annotations"].keys() == {"summary", "description"}


@pytest.mark.parametrize("expression", EXPRESSIONS.values(), ids=EXPRESSIONS)
def test_each_metric_and_label_of_an_expression_is_one_of_ours(expression):
    labels = set(OF_PROMETHEUS) | {"le"}
    for name, matchers in METRIC.findall(expression):
        assert family_of(name) in METRICS
        own = METRICS[family_of(name)][1]
        labels |= own
        for label, value in MATCHER.findall(matchers):
            assert label in own | OF_PROMETHEUS
            if label not in OF_PROMETHEUS:
                assert set(value.split("|")) <= LABEL_VALUES[label]
    for group in GROUPING.findall(expression):
        assert set(re.split(r",\s*", group)) <= labels


def test_a_running_server_exposes_each_metric(shared_client):
    used = {family_of(name) for expression in EXPRESSIONS.values()
            for name, _ in METRIC.findall(expression)}
    assert used <= scrape(shared_client).types.keys()


def test_the_threshold_for_slow_commits_is_within_the_buckets(shared_client):
    """A quantile never exceeds the last finite bucket: an alert above that would never fire."""
    shared_client.post("/v1/installs/a/commit", {"backend": "gemini", "tier": "core"})
    [threshold] = [float(re.search(r"> ([\d.]+)$", alert["expr"])[1]) for alert in ALERTS
                   if "histogram_quantile" in alert["expr"]]
    bounds = [bound for bound, _ in scrape(shared_client).buckets(
        "credits_request_duration_seconds")[frozenset({("operation", "commit")})]]
    assert bounds[0] < threshold < bounds[-2]


# --- the dashboard


def test_the_dashboard_shows_each_metric():
    shown = {family_of(name) for query in QUERIES.values() for name, _ in METRIC.findall(query)}
    assert shown == METRICS.keys()


def test_the_dashboard_can_be_imported_anywhere():
    assert DASHBOARD["id"] is None and DASHBOARD["uid"] and DASHBOARD["title"]
    variables = {v["name"]: v["type"] for v in DASHBOARD["templating"]["list"]}
    assert variables == {"datasource": "datasource", "instance": "query"}
    sources = re.findall(r'"uid": ?"([^"]+)"', (FOLDER / "grafana-dashboard.json").read_text())
    assert set(sources) == {DASHBOARD["uid"], "${datasource}"}
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))


def test_the_panels_of_the_dashboard_do_not_overlap():
    taken = set()
    for place in (panel["gridPos"] for panel in DASHBOARD["panels"]):
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                 for y in range(place["y"], place["y"] + place["h"])}
        assert place["x"] + place["w"] <= 24 and not cells & taken
        taken |= cells
