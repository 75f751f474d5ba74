from polyscan.registration.register import (
    Registration as Registration,
    register_rigid as register_rigid,
    register_study as register_study,
)
