"""A Django project in one file, served through ASGI or through WSGI."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path

settings.configure(
    DEBUG=False,
    SECRET_KEY="not a secret",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=["django.middleware.common.CommonMiddleware", "django.middleware.gzip.GZipMiddleware"],
    DATABASES={},
)
django.setup()


def root(request: HttpRequest) -> JsonResponse:
    """What the request says about itself; runs in a thread."""
    return JsonResponse(
        {
            "method": request.method,
            "path": request.get_full_path(),
            "host": request.get_host(),
            "header": request.headers.get("X-One"),
        }
    )


async def soon(request: HttpRequest) -> HttpResponse:
    """A view on the loop."""
    await asyncio.sleep(0)
    return HttpResponse("soon")


def form(request: HttpRequest) -> JsonResponse:
    """A form with a file."""
    file = request.FILES.get("file")
    content: Any = file.read() if file is not None else b""
    return JsonResponse({"name": request.POST.get("name"), "size": len(content)})


async def stream(request: HttpRequest) -> StreamingHttpResponse:
    """An answer in pieces."""

    async def pieces() -> AsyncIterator[bytes]:
        for number in range(5):
            await asyncio.sleep(0)
            yield b"piece %d\n" % number

    return StreamingHttpResponse(pieces(), content_type="text/plain")


def fail(request: HttpRequest) -> HttpResponse:
    """What nobody catches: Django answers by itself."""
    raise RuntimeError("on purpose")


urlpatterns = [
    path("", root),
    path("soon", soon),
    path("form", form),
    path("stream", stream),
    path("fail", fail),
]

app = get_asgi_application()
wsgi = get_wsgi_application()
