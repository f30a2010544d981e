"""A small S3 in memory, for tests of what stores its objects in one."""

import http.server
import re
import urllib.parse


class Bucket(http.server.BaseHTTPRequestHandler):
    """As much of S3 as a backup store needs, in memory; refuses what is not signed by our key."""

    protocol_version = "HTTP/1.1"
    objects = {}
    seen = set()

    def log_message(self, *args):
        """Says nothing."""

    def answer(self, status, body=b"", **headers):
        """One reply."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def handle_one(self):
        """Every method."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        where = urllib.parse.urlsplit(self.path)
        key = urllib.parse.unquote(where.path)
        Bucket.seen.add(self.command)
        if "Credential=backup-user/" not in self.headers.get("Authorization", ""):
            return self.answer(403)
        query = dict(urllib.parse.parse_qsl(where.query, keep_blank_values=True))
        if self.command == "GET" and "list-type" in query:
            names = sorted(k for k in Bucket.objects if k.startswith("/bucket/" + query.get("prefix", "")))
            items = "".join(
                f"<Contents><Key>{n[8:]}</Key><Size>{len(Bucket.objects[n])}</Size><ETag>e</ETag>"
                "<LastModified>2026-11-21T00:00:00.000Z</LastModified></Contents>"
                for n in names
            )
            text = f"<ListBucketResult><Name>bucket</Name><IsTruncated>false</IsTruncated>{items}</ListBucketResult>"
            return self.answer(200, text.encode(), Content_Type="application/xml")
        if self.command == "POST" and "delete" in query:
            names = re.findall(r"<Key>(.*?)</Key>", body.decode())
            for name in names:
                Bucket.objects.pop("/bucket/" + name, None)
            done = "".join(f"<Deleted><Key>{name}</Key></Deleted>" for name in names)
            text = f"<DeleteResult>{done}</DeleteResult>"
            return self.answer(200, text.encode(), Content_Type="application/xml")
        if self.command == "PUT":
            if self.headers.get("If-None-Match") == "*" and key in Bucket.objects:
                return self.answer(412)
            Bucket.objects[key] = body
            return self.answer(200, ETag='"e"')
        if self.command == "DELETE":
            Bucket.objects.pop(key, None)
            return self.answer(204)
        if key not in Bucket.objects:
            return self.answer(404)
        data, dated = Bucket.objects[key], {"ETag": '"e"', "Last_Modified": "Sat, 21 Nov 2026 00:00:00 GMT"}
        span = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if span:
            first, last = int(span[1]), min(int(span[2]), len(data) - 1)
            total = f"bytes {first}-{last}/{len(data)}"
            return self.answer(206, data[first:last + 1], Content_Range=total, **dated)
        return self.answer(200, data, **dated)

    do_GET = do_PUT = do_DELETE = do_HEAD = do_POST = handle_one
