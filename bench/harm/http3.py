# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m bench.harm.http3 ADDRESS FOLDER`: a server of one page over HTTP/3, and its client."""

import asyncio
import datetime
import ssl
import sys
from contextlib import suppress
from pathlib import Path

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.asyncio.server import serve
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import ProtocolNegotiated, QuicEvent
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from xdpctl.model.services import HTTPS

_PAGE = b"good morning, class\n"
_NAME = "school.example"


class _Server(QuicConnectionProtocol):
    """Answers each request with a page."""

    _http: H3Connection | None = None

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, ProtocolNegotiated):
            self._http = H3Connection(self._quic)
        for part in self._http.handle_event(event) if self._http else ():
            if isinstance(part, HeadersReceived) and self._http:
                self._http.send_headers(part.stream_id, [(b":status", b"200")])
                self._http.send_data(part.stream_id, _PAGE, end_stream=True)
        self.transmit()


class _Client(QuicConnectionProtocol):
    """Requests one page; `page` is its future."""

    def __init__(self, quic: QuicConnection) -> None:
        super().__init__(quic)
        self._http = H3Connection(quic)
        self.page: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def ask(self) -> None:
        """Send the request."""
        names = ((b":method", b"GET"), (b":scheme", b"https"), (b":path", b"/"))
        headers = [*names, (b":authority", _NAME.encode())]
        self._http.send_headers(self._quic.get_next_available_stream_id(), headers, end_stream=True)
        self.transmit()

    def quic_event_received(self, event: QuicEvent) -> None:
        for part in self._http.handle_event(event):
            if isinstance(part, DataReceived) and not self.page.done():
                self.page.set_result(part.data)


async def _asked(server: str, source: str, seconds: float) -> bool:
    quic = QuicConnection(
        configuration=QuicConfiguration(
            alpn_protocols=H3_ALPN, server_name=_NAME, verify_mode=ssl.CERT_NONE
        )
    )
    loop = asyncio.get_running_loop()
    transport, client = await loop.create_datagram_endpoint(
        lambda: _Client(quic), local_addr=(source, 0)
    )
    try:
        async with asyncio.timeout(seconds):
            client.connect((server, HTTPS, 0, 0) if ":" in server else (server, HTTPS))
            await client.wait_connected()
            client.ask()
            return await client.page == _PAGE
    except (OSError, TimeoutError):
        return False
    finally:
        client.close()
        await asyncio.sleep(0)
        transport.close()


def ask(server: str, source: str, seconds: float) -> bool:
    """Whether a new visitor from this local address gets the page."""
    return asyncio.run(_asked(server, source, seconds))


def certify(folder: Path, file: str) -> str:
    """Write a self-signed certificate and its key; return its SHA-256 fingerprint."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _NAME)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(),
        now - datetime.timedelta(hours=1), now + datetime.timedelta(days=1),
    ).sign(key, hashes.SHA256())  # fmt: skip
    pem = serialization.Encoding.PEM
    (folder / f"{file}.pem").write_bytes(certificate.public_bytes(pem))
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / f"{file}.key").write_bytes(key.private_bytes(pem, *plain))
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


async def _serve(address: str, folder: Path) -> None:
    settings = QuicConfiguration(alpn_protocols=H3_ALPN, is_client=False)
    certify(folder, "http3")
    settings.load_cert_chain(folder / "http3.pem", folder / "http3.key")
    await serve(address, HTTPS, configuration=settings, create_protocol=_Server)
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(sys.argv[1], Path(sys.argv[2])))
