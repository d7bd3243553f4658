"""Names that people give to projects and tokens."""

from typing import Annotated

from msgspec import Meta

from chalicelib.domain.fields import END

DisplayName = Annotated[
    str,
    Meta(
        pattern=rf"^[A-Za-z0-9]([A-Za-z0-9 ._-]{{0,61}}[A-Za-z0-9])?{END}",
        description="1 to 63 letters, digits, spaces and . _ -, with a letter or digit at each end",
    ),
]
