# Create job
curl -X POST http://localhost:8000/api/v1/jobs \
  -H "Content-Type: application/json" \
  -d '{
    "user_prompt": "Mountain landscape",
    "model_id": "replicate:svd-xt",
    "max_shots": 3
  }'

# Get job status
curl http://localhost:8000/api/v1/jobs/job_abc123

# List all jobs
curl http://localhost:8000/api/v1/jobs?page=1&page_size=10

# Download video
curl -o video.mp4 http://localhost:8000/api/v1/jobs/job_abc123/video
