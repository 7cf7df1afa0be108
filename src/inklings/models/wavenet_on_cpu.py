"""The step of a WaveNet on a CPU under the name that copied architecture files import it by."""

from inklings.models.wavenet.cpu_step import EPSILON, LayersOnCPU, layers_on_cpu

__all__ = ["EPSILON", "LayersOnCPU", "layers_on_cpu"]
