"""Requests about people."""


def add(api, **fields):
    return api.post("/api/prospects", {"email": "ada@example.com"} | fields)


def change(api, person, **fields):
    return api.patch(f"/api/prospects/{person.pk}", fields)


def error(response):
    [found] = response.json()["errors"]
    return response.status_code, found["code"], found["attr"]
