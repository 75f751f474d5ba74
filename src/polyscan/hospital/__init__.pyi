from polyscan.hospital.deliveries import listen_status as listen_status
from polyscan.hospital.station import listen as listen
