"""Everything that routes work with, put together once for an application."""

from dataclasses import dataclass

from api.api_keys import KeyRing
from api.conversions import Conversions
from api.darkroom import Darkroom
from api.face_finder import FaceFinder
from api.face_tokens import FaceTokens
from api.intake import Intake
from api.kept_photos import KeptPhotos
from api.meters import Meters
from api.outbound import Outbound
from api.rate_limits import RateLimits
from api.readiness import Readiness
from api.restyles import Restyles
from api.sharing import ShareSigner
from api.style_catalogue import StyleCatalogue
from api.uploads_in_flight import UploadsInFlight
from api.visitors import VisitorCookies
from api.webhook_sender import WebhookSender
from core.services import Services
from core.settings import Settings
from core.signing_secret import load_signing_secret
from faces.result_encoder import ResultEncoder


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
