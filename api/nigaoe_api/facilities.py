"""Everything that routes work with, put together once for an application."""

from dataclasses import dataclass

from nigaoe_api.api_keys import KeyRing
from nigaoe_api.conversions import Conversions
from nigaoe_api.face_finder import FaceFinder
from nigaoe_api.face_tokens import FaceTokens
from nigaoe_api.intake import Intake
from nigaoe_api.kept_photos import KeptPhotos
from nigaoe_api.meters import Meters
from nigaoe_api.outbound import Outbound
from nigaoe_api.rate_limits import RateLimits
from nigaoe_api.readiness import Readiness
from nigaoe_api.restyles import Restyles
from nigaoe_api.result_renderer import Darkroom
from nigaoe_api.sharing import ShareSigner
from nigaoe_api.style_catalogue import StyleCatalogue
from nigaoe_api.uploads_in_flight import UploadsInFlight
from nigaoe_api.visitors import VisitorCookies
from nigaoe_api.webhook_sender import WebhookSender
from nigaoe_core.services import Services
from nigaoe_core.settings import Settings
from nigaoe_core.signing_secret import load_signing_secret
from nigaoe_faces.result_encoder import ResultEncoder


@dataclass(frozen=True)
class Facilities:
    """What one application has."""

    settings: Settings
    services: Services
    keys: KeyRing | None
    visitors: VisitorCookies
    shares: ShareSigner
    limits: RateLimits
    uploads: UploadsInFlight
    styles: StyleCatalogue
    faces: FaceFinder
    outbound: Outbound
    kept: KeptPhotos
    conversions: Conversions
    restyles: Restyles
    darkroom: Darkroom
    readiness: Readiness
    meters: Meters
    webhooks: WebhookSender


def build_facilities(settings: Settings, services: Services) -> Facilities:
    """Put everything together; nothing is connected or loaded yet.

    Raises:
        InvalidSettings: A rate limit cannot be read, the signing secret cannot be made, or the certificate cannot sign.
        InvalidManifest: The registry cannot be read.
    """
    secret = load_signing_secret(settings)
    limits = RateLimits(settings)
    styles = StyleCatalogue(settings)
    uploads = UploadsInFlight(settings.max_upload_bytes_in_flight)
    meters = Meters(services.store, services.errors, uploads)
    faces = FaceFinder(settings, FaceTokens(secret), meters)
    outbound = Outbound(allow_loopback=settings.webhook_allow_loopback)
    intake = Intake(services, outbound, meters)
    return Facilities(
        settings=settings,
        services=services,
        keys=KeyRing(settings.api_keys_file) if settings.api_keys_file else None,
        visitors=VisitorCookies(secret, settings),
        shares=ShareSigner(secret),
        limits=limits,
        uploads=uploads,
        styles=styles,
        faces=faces,
        outbound=outbound,
        kept=KeptPhotos(services, secret),
        conversions=Conversions(intake, styles, faces, limits),
        restyles=Restyles(intake, services, styles),
        darkroom=Darkroom(services, ResultEncoder.from_settings(settings)),
        readiness=Readiness(services, faces),
        meters=meters,
        webhooks=WebhookSender(services.store, outbound, settings, secret, meters, services.errors),
    )
