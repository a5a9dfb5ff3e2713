"""/api/me."""

from flask import Blueprint, Response

from blueprints.parts import parts
from blueprints.users import operations
from blueprints.users.resource import ME, in_name_form
from models import User, db
from rest.negotiation import render_item, speaks
from rest.representation import Item
from security.access import current_caller, is_authenticated, requires

bp = Blueprint("me", __name__)


@bp.get("/me<suffix:suffix>")
@speaks(operations.SHOW_ME)
@requires(is_authenticated)
def show_me() -> Response:
    """Show the caller."""
    mine = parts().users.select(db.session(), ME.readable.columns).where(User.id == current_caller().id)
    row = db.session().execute(mine).one()
    return render_item(Item.of(ME, in_name_form(ME.readable, current_caller().portal.name_form), row))
