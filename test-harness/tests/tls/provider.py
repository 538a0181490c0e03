"""Serves JSON documents over TLS on a free port of the loopback: provider.py CERTIFICATE KEY DOCUMENTS.

DOCUMENTS is a JSON file of paths and what is there. The port is the first line of output; it ends with its standard input.
"""

import http.server
import json
import ssl
import sys
import threading

certificate, key, documents = sys.argv[1:]
with open(documents) as file:
    documents = json.load(file)


class Provider(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = documents.get(self.path)
        self.send_response(404 if body is None else 200)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Provider)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
context.sni_callback = lambda connection, name, _: None if name == "idp.example" else ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
server.socket = context.wrap_socket(server.socket, server_side=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_address[1], flush=True)
sys.stdin.read()
