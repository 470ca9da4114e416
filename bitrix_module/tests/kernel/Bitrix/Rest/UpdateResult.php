<?php

// Promises: an update that went well.
// Leans on: nothing.
// Must never: fail.

declare(strict_types=1);


namespace Bitrix\Rest;

class UpdateResult
{
    public function isSuccess()
    {
        return true;
    }

    public function getErrorMessages()
    {
        return [];
    }
}
