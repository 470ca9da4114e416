"""Lanes: events of one entity at one handler share one, and nothing else is kept waiting.

Leans on the names Bitrix24 gives to events. Must never put two entities into one lane.
"""

from __future__ import annotations

import pytest

from relay.core.lanes import MAX_ENTITY, Order, entity_of, entity_type, lane_of
from relay.core.phpform import FormLimits, parse_form
from relay.core.portal_rpc import parse_event_call
from tests.factories import captured_body


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ("ONCRMDEALADD", "crm.deal"),
        ("ONCRMDEALUPDATE", "crm.deal"),
        ("ONCRMDEALDELETE", "crm.deal"),
        ("oncrmdealadd", "crm.deal"),
        ("ONTASKADD", "task"),
        ("ONAPPINSTALL", "onappinstall"),
        ("ONX", "onx"),
        ("", ""),
    ],
)
def test_an_events_name_says_what_kind_of_thing_it_is_about(event: str, kind: str) -> None:
    assert entity_type(event) == kind


@pytest.mark.parametrize(
    ("event", "fields", "entity"),
    [
        ("ONCRMDEALADD", {"data[FIELDS][ID]": "5"}, "crm.deal:5"),
        ("ONTASKUPDATE", {"data[FIELDS_AFTER][ID]": "7", "data[FIELDS_BEFORE][ID]": "7"}, "task:7"),
        ("ONTASKDELETE", {"data[FIELDS_BEFORE][ID]": "7"}, "task:7"),
        ("", {"document_id[0]": "crm", "document_type[2]": "DEAL", "document_id[2]": "DEAL_5"}, "crm.deal:5"),
        ("ONIMBOTMESSAGEADD", {"data[PARAMS][DIALOG_ID]": "chat9"}, "im.dialog:chat9"),
        ("ONCRMDEALADD", {}, None),
        ("ONCRMDEALADD", {"data[FIELDS][ID]": ""}, None),
        ("", {"data[FIELDS][ID]": "5"}, None),
    ],
)
def test_the_entity_is_found_where_the_portal_puts_it(event: str, fields: dict[str, str], entity: str | None) -> None:
    assert entity_of(event, fields) == entity


def test_a_robot_and_an_event_of_one_deal_are_about_the_same_entity() -> None:
    def entity(name: str) -> str | None:
        return parse_event_call(parse_form(captured_body(name), FormLimits()), 9)[0].entity

    assert entity("rest.event.call-robot") == entity("rest.event.call-rich-data") == "crm.deal:5"


def test_an_entity_of_any_length_and_bytes_can_be_stored() -> None:
    entity = entity_of("ONX", {"data[FIELDS][ID]": "\udcff" + "9" * 500})
    assert entity is not None
    assert len(entity) <= MAX_ENTITY
    assert entity.encode("utf-8")


def test_a_lane_is_one_handlers_and_one_entitys() -> None:
    lanes = [lane_of(Order.LANE, handler, entity) for handler in ("a", "b") for entity in ("x:1", "x:2")]
    assert len(set(lanes)) == 4
    assert lane_of(Order.LANE, "a", "x:1") == lanes[0]
    assert all(lane is not None and 0 <= lane < 2**63 for lane in lanes)


def test_without_an_entity_or_an_order_there_is_no_lane() -> None:
    assert lane_of(Order.LANE, "a", None) is None
    assert lane_of(Order.NONE, "a", "x:1") is None


def test_a_handler_may_keep_the_order_of_all_its_events() -> None:
    assert lane_of(Order.HANDLER, "a", "x:1") == lane_of(Order.HANDLER, "a", None)
    assert lane_of(Order.HANDLER, "a", None) != lane_of(Order.HANDLER, "b", None)
