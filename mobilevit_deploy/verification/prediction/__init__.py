"""What an artifact says of a user's pictures, beside what PyTorch says: classes, label maps, boxes."""

from mobilevit_deploy.verification.prediction.predict import Predicted, PredictReport, PredictRequest, predict

__all__ = ["PredictReport", "PredictRequest", "Predicted", "predict"]
