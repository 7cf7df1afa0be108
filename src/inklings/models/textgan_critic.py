"""The critics of the text GAN under the name that copied architecture files import them by."""

from inklings.models.textgan.critic import PerceptronCritic, TransformerCritic, spread_appended

__all__ = ["PerceptronCritic", "TransformerCritic", "spread_appended"]
