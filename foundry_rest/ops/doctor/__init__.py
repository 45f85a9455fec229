"""The doctor: what is wrong with a service, its models, or the way there, and what to do about it."""

from foundry_rest.ops.doctor.diagnosis import diagnose
from foundry_rest.ops.doctor.findings import Diagnosis, DoctorSettings, Finding

__all__ = ["Diagnosis", "DoctorSettings", "Finding", "diagnose"]
