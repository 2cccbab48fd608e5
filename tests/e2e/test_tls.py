"""HTTPS with certificates made by openssl, and clients that do not speak TLS."""

import json
import os
import re
import socket
import ssl
import subprocess
import threading
import time

import pytest

import creditsd
import test_connections as plain
from access import ADMIN, COMMIT, RELAY, bearer, token_flags
from creditsd import TIMEOUT_S, check_problem, open_socket, parse_answers, raw, wait_until
from test_faults import compiled, preload

INSTALL = "/v1/installs/a"
STOP_S = 10  # docker stop kills after this time
KINDS = {"rsa": ["rsa:2048"], "ec": ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]}


def openssl(*args):
    subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True,
                   stdin=subprocess.DEVNULL, timeout=60)


def self_signed(folder, name, kind="ec"):
    """Makes a certificate for loopback; returns its path and its key's."""
    cert, key = folder / f"{name}.crt", folder / f"{name}.key"
    openssl("req", "-x509", "-newkey", *KINDS[kind], "-nodes", "-keyout", key, "-out", cert,
            "-days", "2", "-subj", f"/CN={name}", "-addext",
            "subjectAltName=IP:127.0.0.1,DNS:localhost")
    return cert, key


@pytest.fixture(scope="module")
def certs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certs")
    return {"ec": self_signed(folder, "ec"), "rsa": self_signed(folder, "rsa", "rsa"),
            "second": self_signed(folder, "second")}


class TlsClient(creditsd.Client):
    def __init__(self, port, ca_file, token=ADMIN):
        super().__init__(port)
        self.token = token
        context = ssl.create_default_context(cafile=str(ca_file))
        # Python 3.13 wants extensions that these certificates do not have.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        self.connection = creditsd.http.client.HTTPSConnection(
            "127.0.0.1", port, timeout=TIMEOUT_S, context=context)

    def request(self, method, path, body=None, headers=None):
        return super().request(method, path, body, bearer(self.token) | (headers or {}))


def tls_flags(cert, key):
    return ["--tls-cert", cert, "--tls-key", key]


@pytest.fixture
def start_tls(data_dir, tmp_path):
    """Starts servers with this certificate and key, and tokens."""
    servers = []

    def start_server(cert_and_key, *args, **settings):
        servers.append(creditsd.Server(
            ["--listen", "127.0.0.1:0", "--data-dir", data_dir, *token_flags(tmp_path),
             *tls_flags(*cert_and_key), *args], tmp_path / f"tls-{len(servers)}.log", **settings))
        return servers[-1]

    yield start_server
    for server in servers:
        server.kill()


@pytest.fixture
def connect_tls(certs):
    clients = []

    def connect_client(server, ca_file=certs["ec"][0], **settings):
        clients.append(TlsClient(server.port, ca_file, **settings))
        return clients[-1]

    yield connect_client
    for client in clients:
        client.close()


@pytest.fixture
def server(start_tls, certs):
    return start_tls(certs["ec"])


@pytest.fixture
def client(server, connect_tls):
    return connect_tls(server)


def context_of(version=None):
    """A context that trusts any certificate; with `version`, it speaks that version only, however old."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if version is not None:
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
    return context


def open_tls(port, version=None):
    connection = open_socket(port)
    try:
        return context_of(version).wrap_socket(connection)
    except BaseException:
        connection.close()
        raise


IGNORE_UNEXPECTED_EOF = 0x80  # an option of OpenSSL, which Python sets but does not name


def open_strict(port):
    """A connection over TLS 1.3 for which an end without close_notify is an error."""
    context = context_of(ssl.TLSVersion.TLSv1_3)
    context.options &= ~IGNORE_UNEXPECTED_EOF
    return context.wrap_socket(open_socket(port), suppress_ragged_eofs=False)


def certificate_of(port):
    with open_tls(port) as connection:
        return connection.getpeercert(binary_form=True)


def der(path):
    return ssl.PEM_cert_to_DER_cert(path.read_text())


# --- certificates, versions and tokens


@pytest.mark.parametrize("kind", KINDS)
def test_https_is_served_with_a_certificate_that_clients_can_verify(start_tls, connect_tls, certs,
                                                                    kind):
    server = start_tls(certs[kind])
    client = connect_tls(server, certs[kind][0])
    assert client.put(INSTALL).status == 201
    assert client.get(INSTALL).json["version"] == 1
    assert certificate_of(server.port) == der(certs[kind][0])


def test_the_listening_line_says_https(server):
    assert server.out_path.read_text() == f"listening on https://127.0.0.1:{server.port}\n"


def test_a_certificate_may_include_its_chain(start_tls, connect_tls, tmp_path):
    root, root_key = self_signed(tmp_path, "root")
    signer, leaf = [], []
    for name, issuer, issuer_key, extension, made in (
            ("signer", root, root_key,
             "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign", signer),
            ("leaf", tmp_path / "signer.crt", tmp_path / "signer.key",
             "subjectAltName=IP:127.0.0.1", leaf)):
        key, request, cert, extensions = (tmp_path / f"{name}{end}"
                                          for end in (".key", ".csr", ".crt", ".ext"))
        openssl("req", "-newkey", *KINDS["ec"], "-nodes", "-keyout", key, "-out", request, "-subj",
                f"/CN={name}")
        extensions.write_text(extension + "\n")
        openssl("x509", "-req", "-in", request, "-CA", issuer, "-CAkey", issuer_key, "-days", "2",
                "-set_serial", "7", "-extfile", extensions, "-out", cert)
        made += [cert, key]
    chain = tmp_path / "chain.crt"
    chain.write_text(leaf[0].read_text() + signer[0].read_text())
    client = connect_tls(start_tls((chain, leaf[1])), root)
    assert client.get("/v1/quota").status == 200


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3],
                         ids=lambda v: v.name)
def test_tls_1_2_and_1_3_are_supported(server, version):
    with open_tls(server.port, version) as connection:
        assert connection.version() == version.name.replace("_", ".")
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        [answer] = parse_answers(creditsd.read_to_end(connection), ["GET"])
    assert answer.status == 200


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1],
                         ids=lambda v: v.name)
def test_older_tls_is_refused_by_the_server(server, client, version):
    with pytest.raises(ssl.SSLError) as refusal:
        open_tls(server.port, version)
    assert refusal.value.reason.startswith("TLSV1_ALERT_"), "the server sent no alert"
    assert client.get("/healthz").status == 200


def test_tokens_work_over_tls_as_they_do_without(server, connect_tls):
    assert connect_tls(server, token=RELAY).put(INSTALL).status == 201
    check_problem(connect_tls(server, token=RELAY).get("/v1/quota"), 403, "forbidden")
    check_problem(connect_tls(server, token="wrong").get(INSTALL), 401, "unauthorized")


def test_beyond_loopback_tls_alone_is_not_enough(data_dir, certs):
    ended = creditsd.run("--listen", "0.0.0.0:0", "--data-dir", data_dir, *tls_flags(*certs["ec"]))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "token" in ended.stderr


def test_on_loopback_tls_needs_no_tokens(data_dir, tmp_path, certs, connect_tls):
    server = creditsd.Server(["--listen", "127.0.0.1:0", "--data-dir", data_dir,
                        *tls_flags(*certs["ec"])], tmp_path / "log")
    try:
        client = connect_tls(server)
        own = f"https://127.0.0.1:{server.port}"
        for origin, status in ((own, 200), (own.replace("https", "http"), 403),
                               ("https://evil.example", 403), (None, 200)):
            assert client.request("GET", "/v1/quota", headers={
                "Authorization": None, "Origin": origin}).status == status
    finally:
        server.kill()


# --- connections


def test_a_tls_connection_serves_many_requests(client):
    client.put(INSTALL)
    first = client.connection.sock
    for _ in range(200):
        assert client.get(INSTALL).status == 200
    for path, status in (("/nothing", 404), ("/v1/installs?limit=0", 422)):
        assert client.get(path).status == status
    assert client.connection.sock is first


def test_requests_that_arrive_in_one_record_are_all_answered(server):
    """They are buffered in the TLS library, where polling the socket does not reveal them."""
    one = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /v1/quota HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with open_tls(server.port) as connection:
        connection.sendall(one * 50 + last)
        answers = parse_answers(creditsd.read_to_end(connection), ["GET"] * 51)
    assert [answer.status for answer in answers] == [200] * 50 + [401]


def test_a_connection_is_kept_open_for_longer_than_announced(server):
    sent = plain.request("GET", "/healthz") + plain.request("GET", "/nothing", "Connection: close")
    with open_tls(server.port) as connection:
        connection.sendall(sent)
        first, second = plain.heads_of(creditsd.read_to_end(connection))
    assert plain.announced_s(first[1]) <= plain.KEPT_S - 5
    assert second[1]["Connection"] == "close" and "Keep-Alive" not in second[1]


def test_a_request_that_arrives_in_many_records_is_answered(server):
    body = json.dumps(COMMIT).encode()
    request = (f"POST {INSTALL}/commit HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {RELAY}\r\n"
               f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
               f"Connection: close\r\n\r\n").encode() + body
    with open_tls(server.port) as connection:
        for byte in request:
            connection.sendall(bytes([byte]))
        [answer] = parse_answers(creditsd.read_to_end(connection), ["POST"])
    assert (answer.status, answer.json["version"]) == (200, 1)


class Trickle:
    """A client that sends its bytes one by one, including those of the handshake."""

    def __init__(self, connection, version):
        self.connection = connection
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context_of(version).wrap_bio(self.incoming, self.outgoing)
        self.do(self.tls.do_handshake)

    def do(self, step, *args):
        while True:
            try:
                result = step(*args)
                self.send_what_is_left()
                return result
            except ssl.SSLWantReadError:
                self.send_what_is_left()
                self.incoming.write(self.connection.recv(65536))

    def send_what_is_left(self):
        for byte in self.outgoing.read():
            self.connection.sendall(bytes([byte]))
            time.sleep(0.0005)  # so that each byte is sent by itself


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda v: v.name)
def test_a_handshake_byte_by_byte_and_a_request_in_records_of_one_byte_work(server, version):
    with open_socket(server.port) as connection:
        client = Trickle(connection, version)
        for byte in b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n":
            client.do(client.tls.write, bytes([byte]))
        received = b""
        while not received.endswith(b"}"):
            received += client.do(client.tls.read, 65536)
    [answer] = parse_answers(received, ["GET"])
    assert answer.status == 200


def test_a_client_may_not_renegotiate(server, client):
    """Renegotiation would let it make the server repeat handshakes over one connection."""
    with subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-tls1_2"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        limit = threading.Timer(TIMEOUT_S, process.kill)
        limit.start()
        said = b""
        while b"Verify return code" not in said and (part := process.stdout.read1()):
            said += part
        process.stdin.write(b"R\n")
        process.stdin.flush()
        said += process.stdout.read()
        limit.cancel()
    assert b"RENEGOTIATING" in said and b"no renegotiation" in said
    assert client.get("/v1/quota").status == 200


def test_a_large_batch_is_received_and_its_answer_sent(client):
    count = 8192
    operations = [{"op": "commit", "install_id": f"{'x' * 100}{n % 100}", **COMMIT,
                   "idempotency_key": f"{'k' * 100}{n}"} for n in range(count)]
    answer = client.post("/v1/batch", {"operations": operations})
    assert answer.status == 200
    assert [result["status"] for result in answer.json["results"]] == [200] * count
    assert len(answer.body) > 1_000_000
    assert client.get("/v1/installs?limit=1").status == 200


@pytest.mark.parametrize("token, status, code", [(RELAY, 413, "payload_too_large"),
                                                 ("wrong", 401, "unauthorized")])
def test_a_body_is_refused_before_it_has_arrived(server, client, token, status, code):
    with open_tls(server.port) as connection:
        connection.sendall(f"POST {INSTALL}/plan HTTP/1.1\r\nHost: x\r\n"
                           f"Authorization: Bearer {token}\r\n"
                           f"Content-Length: {8 * 1024**2 + 1}\r\n\r\n{{".encode())
        [answer] = parse_answers(creditsd.read_to_end(connection), ["POST"])
    check_problem(answer, status, code)
    assert client.get("/healthz").status == 200


def test_a_connection_ends_with_close_notify_so_that_truncation_is_noticed(server):
    request = f"GET /v1/snapshot HTTP/1.0\r\nHost: x\r\nAuthorization: Bearer {ADMIN}\r\n\r\n"
    with open_strict(server.port) as connection:
        connection.sendall(request.encode())
        [answer] = parse_answers(creditsd.read_to_end(connection), ["GET"])
    assert answer.json == {"rows": {}}


@pytest.fixture(scope="module")
def full_socket(tmp_path_factory):
    return compiled(tmp_path_factory, "full_socket")


def test_a_connection_whose_client_takes_nothing_at_first_ends_with_close_notify_too(start_tls, certs, full_socket):
    server = start_tls(certs["ec"], env=preload(full_socket))
    with open_strict(server.port) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        received = b""
        while not received.endswith(b"}"):
            received += connection.recv(65536)
        connection.sendall(b"\r\n")  # makes the server try again
        assert connection.recv(1) == b""


def test_the_snapshot_is_streamed_completely(data_dir, start_tls, connect_tls, certs):
    rows = {f"install-{n}": {"lifetime_consumed": n} for n in range(20_000)}
    (data_dir / "credits.json").write_text(json.dumps({"rows": rows}))
    client = connect_tls(start_tls(certs["ec"]))
    answer = client.get("/v1/snapshot")
    assert answer.headers["Transfer-Encoding"] == "chunked"
    assert {install_id: row["lifetime_consumed"] for install_id, row in answer.json["rows"].items()
            } == {install_id: row["lifetime_consumed"] for install_id, row in rows.items()}
    assert client.get("/healthz").status == 200


def test_many_tls_connections_at_once_are_all_answered(server, connect_tls):
    versions, failures = [], []

    def work(client):
        try:
            for _ in range(10):
                versions.append(client.post(INSTALL + "/commit", COMMIT).json["version"])
        except Exception as failure:  # noqa: BLE001
            failures.append(failure)

    workers = [threading.Thread(target=work, args=[connect_tls(server)]) for _ in range(32)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert failures == []
    assert sorted(versions) == list(range(1, 321))


# --- clients that do not speak TLS


GARBAGE = {
    "http": b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "http-with-token": f"GET /v1/quota HTTP/1.1\r\nAuthorization: Bearer {ADMIN}\r\n\r\n".encode(),
    "nothing": b"", "zeros": b"\0" * 1000, "line-feeds": b"\n" * 1000,
    "half-a-hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xaa" * 100,
    "broken-hello": b"\x16\x03\x01\x00\x05hello" * 10, "alert": b"\x15\x03\x03\x00\x02\x02\x28",
}


@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE)
def test_bytes_that_are_not_tls_are_not_served_and_harm_nobody(server, client, data):
    for _ in range(5):
        received = raw(server.port, data, half_close=True)
        assert not received.startswith(b"HTTP/1.1 2") and b"lifetime" not in received
    assert client.get("/v1/quota").status == 200
    assert server.running()


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "HEAD"])
def test_plain_http_on_the_tls_port_ends_without_an_answer_and_is_logged(start_tls, certs, method):
    server = start_tls(certs["ec"], "--log-level", "debug")
    with open_socket(server.port) as connection:
        address, port = connection.getsockname()
        connection.sendall(f"{method} /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n".encode()
                           + b"x" * 100_000)
        assert connection.recv(100) == b""  # an orderly end, not a reset
    wait_until(lambda: f"a client at {address}:{port} spoke plain HTTP to the TLS port" in server.log(), "a log line")


def test_tls_on_the_plain_port_is_answered_with_400_and_is_logged(start):
    server = start("--log-level", "debug")
    hello = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context_of().wrap_bio(ssl.MemoryBIO(), hello).do_handshake()
    with open_socket(server.port) as connection:
        address, port = connection.getsockname()
        for byte in hello.read():
            connection.sendall(bytes([byte]))
        [answer] = parse_answers(creditsd.read_to_end(connection), ["GET"])
    check_problem(answer, 400, "bad_request")
    wait_until(lambda: f"a client at {address}:{port} spoke TLS to the plain HTTP port" in server.log(), "a log line")


def test_many_clients_with_plain_http_on_the_tls_port_cause_few_log_lines_with_a_count(start_tls, certs):
    server = start_tls(certs["ec"], "--log-level", "debug")
    for _ in range(200):
        raw(server.port, GARBAGE["http"])
    assert server.stop(STOP_S) == 0
    lines = [line for line in server.log().splitlines() if "wrong_protocol" in line]
    more = [int(found.group(1)) for line in lines if (found := re.search(r"and (\d+) more", line))]
    assert len(lines) + sum(more) == 200
    assert len(more) > 0


@pytest.mark.parametrize("data", [b"", GARBAGE["half-a-hello"]], ids=["silent", "half-a-hello"])
def test_a_client_that_does_not_finish_its_hello_holds_up_no_one(server, connect_tls, data):
    waiting = [open_socket(server.port) for _ in range(64)]
    try:
        for connection in waiting:
            connection.sendall(data)
        for _ in range(4):
            assert connect_tls(server).get("/v1/quota").status == 200
        assert server.stop(STOP_S) == 0
    finally:
        for connection in waiting:
            connection.close()


def test_clients_that_leave_at_any_moment_harm_no_one(server, client):
    reset = (socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    for n in range(30):
        with open_tls(server.port) as connection:
            connection.setsockopt(*reset)
            if n % 3:
                connection.sendall(b"GET /openapi.yaml HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
            if n % 3 == 2:
                connection.recv(1)
    assert client.get("/healthz").status == 200
    assert server.running()


# --- the shutdown


def test_a_stop_under_tls_traffic_answers_what_is_in_flight_and_keeps_it(
        server, start_tls, connect_tls, certs):
    answered, failures = {}, []

    def work(n):
        client = connect_tls(server)
        try:
            while True:
                answer = client.post(f"/v1/installs/i{n}/commit", COMMIT)
                if answer.status != 200:
                    return
                answered[n] = answer.json["version"]
        except (OSError, creditsd.http.client.HTTPException):
            pass  # the server has gone
        except Exception as failure:  # noqa: BLE001
            failures.append(failure)

    workers = [threading.Thread(target=work, args=[n]) for n in range(16)]
    for worker in workers:
        worker.start()
    wait_until(lambda: len(answered) == 16, "a first answer for each client")
    assert server.stop(STOP_S) == 0
    for worker in workers:
        worker.join()
    assert failures == []

    client = connect_tls(start_tls(certs["ec"]))
    for n, version in answered.items():
        assert client.get(f"/v1/installs/i{n}").json["version"] == version


# --- certificate and key


def write(path, data):
    path.write_bytes(data)
    return path


def encrypted(tmp, certs):
    openssl("pkey", "-in", certs["ec"][1], "-aes256", "-passout", "pass:x", "-out",
            tmp / "bad.pem")
    return tmp / "bad.pem"


FAULTS = {
    # fault: makes (certificate, key) from a folder and valid ones; the faulty file is called bad.pem
    "no-cert": lambda tmp, certs: (tmp / "bad.pem", certs["ec"][1]),
    "no-key": lambda tmp, certs: (certs["ec"][0], tmp / "bad.pem"),
    "garbage-cert": lambda tmp, certs: (write(tmp / "bad.pem", b"garbage"), certs["ec"][1]),
    "garbage-key": lambda tmp, certs: (certs["ec"][0], write(tmp / "bad.pem", b"garbage")),
    "empty-cert": lambda tmp, certs: (write(tmp / "bad.pem", b""), certs["ec"][1]),
    "empty-key": lambda tmp, certs: (certs["ec"][0], write(tmp / "bad.pem", b"")),
    "cut-cert": lambda tmp, certs: (write(tmp / "bad.pem", certs["ec"][0].read_bytes()[:300]),
                                    certs["ec"][1]),
    "directory": lambda tmp, certs: ((tmp / "bad.pem").mkdir() or tmp / "bad.pem", certs["ec"][1]),
    "swapped": lambda tmp, certs: (write(tmp / "bad.pem", certs["ec"][1].read_bytes()),
                                   certs["ec"][0]),
    "key-of-another": lambda tmp, certs: (
        certs["ec"][0], write(tmp / "bad.pem", certs["second"][1].read_bytes())),
    "key-of-another-kind": lambda tmp, certs: (
        certs["ec"][0], write(tmp / "bad.pem", certs["rsa"][1].read_bytes())),
    "encrypted-key": lambda tmp, certs: (certs["ec"][0], encrypted(tmp, certs)),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_faulty_certificate_or_key_stops_the_start_and_is_named(data_dir, tmp_path, certs, fault):
    pair = fault(tmp_path, certs)
    ended = creditsd.run("--listen", "127.0.0.1:0", "--data-dir", data_dir, *tls_flags(*pair))
    assert (ended.returncode, ended.stdout) == (1, ""), ended.stderr
    assert str(tmp_path / "bad.pem") in ended.stderr
    assert "PRIVATE KEY" not in ended.stderr


@pytest.mark.parametrize("given", [0, 1], ids=["cert-alone", "key-alone"])
def test_one_of_the_two_flags_alone_is_an_error_that_names_the_other(data_dir, certs, given):
    flags = ["--tls-cert", "--tls-key"]
    ended = creditsd.run("--listen", "127.0.0.1:0", "--data-dir", data_dir, flags[given],
                         certs["ec"][given])
    assert ended.returncode in (1, 2) and ended.stdout == ""
    assert flags[1 - given] in ended.stderr


@pytest.fixture
def rotating(start_tls, certs, tmp_path):
    """A server, and a function that replaces its certificate and key files."""
    paths = tmp_path / "live.crt", tmp_path / "live.key"

    def put(*pair):
        for path, source in zip(paths, pair):
            new = path.with_suffix(".new")
            new.write_bytes(source.read_bytes())
            os.replace(new, path)

    put(*certs["ec"])
    return start_tls(paths), put


def test_sighup_loads_the_new_certificate_and_keeps_connections(rotating, connect_tls, certs):
    server, put = rotating
    client = connect_tls(server)
    client.put(INSTALL)
    kept = client.connection.sock
    put(*certs["second"])
    assert certificate_of(server.port) == der(certs["ec"][0])
    server.hup()
    wait_until(lambda: certificate_of(server.port) == der(certs["second"][0]), "the new certificate")
    assert client.get(INSTALL).status == 200
    assert client.connection.sock is kept
    assert connect_tls(server, certs["second"][0]).get(INSTALL).status == 200


@pytest.mark.parametrize("fault", [FAULTS[name] for name in (
    "garbage-cert", "garbage-key", "empty-cert", "key-of-another", "key-of-another-kind")], ids=[
    "garbage-cert", "garbage-key", "empty-cert", "key-of-another", "key-of-another-kind"])
def test_sighup_on_a_faulty_certificate_or_key_keeps_the_old_one_and_logs_it(
        rotating, connect_tls, certs, tmp_path, fault):
    server, put = rotating
    put(*fault(tmp_path, certs))
    logged = len(server.log())
    server.hup()
    wait_until(lambda: str(tmp_path / "live.") in server.log()[logged:], "a log line")
    assert certificate_of(server.port) == der(certs["ec"][0])
    assert connect_tls(server).get("/v1/quota").status == 200

    put(*certs["second"])
    server.hup()
    wait_until(lambda: certificate_of(server.port) == der(certs["second"][0]), "the new certificate")
