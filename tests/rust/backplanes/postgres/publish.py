"""Publishes what a transaction did: publish.py URL CHANNEL NUMBER, and `fail` to change its mind."""

import json
import sys

import psycopg2

url, channel, number = sys.argv[1:4]
connection = psycopg2.connect(url)
with connection, connection.cursor() as cursor:
    cursor.execute("CREATE TABLE IF NOT EXISTS paid (number int)")
    cursor.execute("INSERT INTO paid VALUES (%s)", [int(number)])
    cursor.execute(
        "INSERT INTO tidings_events (channel, event_name, data) VALUES (%s, %s, %s)",
        [channel, "order.paid", json.dumps(int(number))],
    )
    if sys.argv[4:] == ["fail"]:
        raise SystemExit("the transaction is rolled back")
