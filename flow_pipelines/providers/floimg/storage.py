"""FloImg's storage: images that belong to the account, and last."""

from __future__ import annotations

from collections.abc import Mapping

from flow_pipelines.model import json_values as read
from flow_pipelines.providers.floimg.listings import Listing, ListingClient, read_wrapped
from flow_pipelines.providers.floimg.records import Deletion, StoredImage

LONGEST_PAGE = 100
"""Entries of a page at FloImg, at most."""


class StorageCalls(ListingClient):
    """The calls about stored images."""

    def upload_image(
        self,
        content: bytes,
        file_name: str,
        media_type: str,
        *,
        project_id: str | None = None,
        name: str | None = None,
    ) -> StoredImage:
        """Store an image; return it with its id and its link. Not billed; size limit undocumented.

        Repeated within the retry budget when an answer is lost: a second copy is one more image
        in the account's own storage, under another id, which nothing refers to.
        """
        fields: Mapping[str, str | None] = {"projectId": project_id, "name": name}
        reply = self._call(
            "upload_image",
            "POST",
            "/storage/upload",
            form={field: value for field, value in fields.items() if value is not None},
            files={"file": (file_name, content, media_type)},
        )
        return reply.read(StoredImage)

    def list_images(
        self, *, project_id: str | None = None, limit: int = LONGEST_PAGE, offset: int = 0
    ) -> Listing[StoredImage]:
        """List stored images, a page of `limit` (at most 100) a request. Costs nothing.

        Asks nothing before somebody loops over it; see `Listing`.
        """
        asked = {"limit": limit, "offset": offset, "projectId": project_id}
        return self._listing(StoredImage, "list_images", "/storage/images", "images", asked)

    def get_image(self, image_id: str) -> StoredImage:
        """Ask for a stored image. Safe to repeat; costs nothing."""
        path = f"/storage/images/{read.path_part(image_id)}"
        reply = self._call("get_image", "GET", path)
        image = read_wrapped(StoredImage, reply, "image")
        if image.id != image_id:
            raise reply.unexpected("the answer is about another image")
        return image

    def delete_image(self, image_id: str) -> Deletion:
        """Delete a stored image for good. Safe to repeat.

        Raises: NotFound, for an image that is gone already: also where a first answer was lost.
        """
        path = f"/storage/images/{read.path_part(image_id)}"
        return self._call("delete_image", "DELETE", path).read(Deletion)
